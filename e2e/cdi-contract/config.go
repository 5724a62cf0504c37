package main

import (
	"context"
	"reflect"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

const defaultOverhead = "0.06"

// defaults makes the CDI and CDIConfig objects if they are not there.
func (s *standIn) defaults(ctx context.Context) error {
	spec := object{"config": object{"featureGates": []any{"HonorWaitForFirstConsumer"}}}
	for _, o := range []struct {
		api        dynamic.ResourceInterface
		kind, name string
		spec       object
	}{{s.dyn.Resource(cdis), "CDI", "cdi", spec}, {s.dyn.Resource(cdiConfigs), "CDIConfig", "config", object{}}} {
		made := &unstructured.Unstructured{Object: object{"apiVersion": group + "/v1beta1", "kind": o.kind,
			"metadata": object{"name": o.name}, "spec": o.spec}}
		if _, err := o.api.Create(ctx, made, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return s.config(ctx)
}

// config copies the settings of the CDI object to CDIConfig and tells every class's overhead.
func (s *standIn) config(ctx context.Context) error {
	cdi, err := s.dyn.Resource(cdis).Get(ctx, "cdi", metav1.GetOptions{})
	if err != nil {
		return err
	}
	config, err := s.dyn.Resource(cdiConfigs).Get(ctx, "config", metav1.GetOptions{})
	if err != nil {
		return err
	}
	wanted, _, _ := unstructured.NestedMap(cdi.Object, "spec", "config")
	if wanted == nil {
		wanted = object{}
	}
	if !reflect.DeepEqual(config.Object["spec"], wanted) {
		config.Object["spec"] = wanted
		if config, err = s.dyn.Resource(cdiConfigs).Update(ctx, config, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	global, found, _ := unstructured.NestedString(wanted, "filesystemOverhead", "global")
	if !found {
		global = defaultOverhead
	}
	set, _, _ := unstructured.NestedStringMap(wanted, "filesystemOverhead", "storageClass")
	classes, err := s.kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	each := object{}
	for _, class := range classes.Items {
		each[class.Name] = global
		if own, ok := set[class.Name]; ok {
			each[class.Name] = own
		}
	}
	status := object{"filesystemOverhead": object{"global": global, "storageClass": each}}
	if reflect.DeepEqual(config.Object["status"], status) {
		return nil
	}
	config.Object["status"] = status
	_, err = s.dyn.Resource(cdiConfigs).UpdateStatus(ctx, config, metav1.UpdateOptions{})
	return err
}

// gate tells whether a feature gate is on.
func (s *standIn) gate(ctx context.Context, name string) (bool, error) {
	config, err := s.dyn.Resource(cdiConfigs).Get(ctx, "config", metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	gates, _, _ := unstructured.NestedStringSlice(config.Object, "spec", "featureGates")
	return slices.Contains(gates, name), nil
}

// overhead is a class's share for the filesystem.
func (s *standIn) overhead(ctx context.Context, class *string) (float64, error) {
	config, err := s.dyn.Resource(cdiConfigs).Get(ctx, "config", metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	text, _, _ := unstructured.NestedString(config.Object, "status", "filesystemOverhead", "global")
	if class != nil {
		if own, found, _ := unstructured.NestedString(config.Object, "status", "filesystemOverhead", "storageClass", *class); found {
			text = own
		}
	}
	return strconv.ParseFloat(text, 64)
}
