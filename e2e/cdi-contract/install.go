package main

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

//go:embed manifests/cdi.yaml
var cdiManifest string

//go:embed manifests/kubevirt.yaml
var kubevirtManifest string

//go:embed manifests/webhooks.yaml
var webhooksManifest string

const (
	standInLabel = "vmimage.dev/stand-in"
	patience     = 60 * time.Second
)

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	mutating    = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating  = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// within asks again and again until ask has no error, and returns its last one when time is up.
func within(ctx context.Context, ask func() error) error {
	end := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// apply writes the objects of a manifest.
func apply(ctx context.Context, dyn dynamic.Interface, manifest string) ([]*unstructured.Unstructured, error) {
	var applied []*unstructured.Unstructured
	for _, text := range strings.Split(manifest, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			return nil, err
		}
		resource, known := map[string]schema.GroupVersionResource{"CustomResourceDefinition": definitions,
			"MutatingWebhookConfiguration": mutating, "ValidatingWebhookConfiguration": validating}[o.GetKind()]
		if !known {
			return nil, fmt.Errorf("a manifest has an object of kind %q", o.GetKind())
		}
		if _, err := dyn.Resource(resource).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "cdi-contract", Force: true}); err != nil {
			return nil, fmt.Errorf("%s: %w", o.GetName(), err)
		}
		applied = append(applied, o)
	}
	return applied, nil
}

// install applies definitions and returns when the server serves them.
func install(ctx context.Context, dyn dynamic.Interface, manifest string) error {
	applied, err := apply(ctx, dyn, manifest)
	if err != nil {
		return err
	}
	for _, o := range applied {
		group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
		plural, _, _ := unstructured.NestedString(o.Object, "spec", "names", "plural")
		versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
		version, _ := versions[0].(object)["name"].(string)
		served := schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
		if err := within(ctx, func() error {
			_, err := dyn.Resource(served).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		}); err != nil {
			return fmt.Errorf("%s: %w", o.GetName(), err)
		}
	}
	return nil
}

// uninstall deletes what install and installWebhooks made and returns when it is gone.
func uninstall(ctx context.Context, dyn dynamic.Interface, what string) error {
	selected := metav1.ListOptions{LabelSelector: standInLabel + "=" + what}
	for _, resource := range []schema.GroupVersionResource{mutating, validating, definitions} {
		list, err := dyn.Resource(resource).List(ctx, selected)
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			err := dyn.Resource(resource).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		if err := within(ctx, func() error {
			left, err := dyn.Resource(resource).List(ctx, selected)
			if err == nil && len(left.Items) != 0 {
				err = fmt.Errorf("%d of %s are left", len(left.Items), resource.Resource)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func installWebhooks(ctx context.Context, dyn dynamic.Interface, url string, ca []byte) error {
	fill := strings.NewReplacer("@URL@", url, "@CA@", base64.StdEncoding.EncodeToString(ca))
	_, err := apply(ctx, dyn, fill.Replace(webhooksManifest))
	return err
}

// webhooksWork returns when the API server asks both webhooks.
func (s *standIn) webhooksWork(ctx context.Context) error {
	size := object{"resources": object{"requests": object{"storage": "1Mi"}}}
	for refusal, spec := range map[string]object{
		storageSizeMissing: {"source": object{"blank": object{}}, "storage": object{}},
		"not found":        {"sourceRef": object{"kind": "DataSource", "name": "cdi-contract-none"}, "pvc": size},
	} {
		dv := &unstructured.Unstructured{Object: object{"apiVersion": group + "/v1beta1", "kind": "DataVolume",
			"metadata": object{"name": "cdi-contract-none"}, "spec": spec}}
		if err := within(ctx, func() error {
			_, err := s.dyn.Resource(dataVolumes).Namespace("default").Create(ctx, dv, metav1.CreateOptions{DryRun: []string{"All"}})
			if err == nil || !strings.Contains(err.Error(), refusal) {
				return fmt.Errorf("the API server does not ask our webhooks yet: %v", err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
