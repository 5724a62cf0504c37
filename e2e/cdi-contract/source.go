package main

import (
	"context"
	"reflect"
	"regexp"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// inherited are the labels that go from claims to DataSources, DataVolumes and clones.
var inherited = regexp.MustCompile(`^([\w.]+\.kubevirt\.io|kubevirt\.io)/`)

// source does what CDI's DataSource controller does with one DataSource. It makes no events.
func (s *standIn) source(ctx context.Context, namespace, name string) error {
	ds, err := s.dyn.Resource(dataSources).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && ds.GetDeletionTimestamp() != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	status, reason, message := "False", "NoSource", "No source PVC set"
	source := object{}
	pvc, other := named(ds, "spec", "source", "pvc"), named(ds, "spec", "source", "dataSource")
	switch {
	case pvc.name != "":
		claim, err := s.claim(ctx, pvc.namespace, pvc.name)
		if err != nil {
			return err
		}
		if claim == nil {
			reason, message = "NotFound", "PVC not found"
			break
		}
		status, reason, message = "True", "Ready", "DataSource is ready to be consumed"
		source["pvc"] = object{"namespace": pvc.namespace, "name": pvc.name}
		if ds, err = s.inheritTo(ctx, ds, claim.Labels); err != nil {
			return err
		}
	case other.name != "" && other.namespace != namespace:
		reason, message = "CrossNamespaceReference", "DataSource cannot reference a DataSource in another namespace"
	}
	return s.tell(ctx, ds, source, object{"type": "Ready", "status": status, "reason": reason, "message": message})
}

// inheritTo copies labels to a DataSource. It overwrites, never removes, and returns the
// DataSource as it is then.
func (s *standIn) inheritTo(ctx context.Context, ds *unstructured.Unstructured, labels map[string]string) (*unstructured.Unstructured, error) {
	more := map[string]string{}
	for key, value := range labels {
		if inherited.MatchString(key) && ds.GetLabels()[key] != value {
			more[key] = value
		}
	}
	if len(more) == 0 {
		return ds, nil
	}
	patch := mergePatch(object{"metadata": object{"labels": more}})
	return s.dyn.Resource(dataSources).Namespace(ds.GetNamespace()).Patch(ctx, ds.GetName(), types.MergePatchType, patch, metav1.PatchOptions{})
}

// tell writes a DataSource's status, unless it says so already.
func (s *standIn) tell(ctx context.Context, ds *unstructured.Unstructured, source, ready object) error {
	old, _, _ := unstructured.NestedMap(ds.Object, "status")
	now := time.Now().UTC().Format(time.RFC3339)
	ready["lastHeartbeatTime"], ready["lastTransitionTime"] = now, now
	if all, _ := old["conditions"].([]any); len(all) == 1 {
		was, _ := all[0].(object)
		if was["status"] == ready["status"] {
			ready["lastTransitionTime"] = was["lastTransitionTime"]
			if was["reason"] == ready["reason"] && was["message"] == ready["message"] {
				ready["lastHeartbeatTime"] = was["lastHeartbeatTime"]
			}
		}
	}
	status := object{"source": source, "conditions": []any{ready}}
	if reflect.DeepEqual(old, status) {
		return nil
	}
	ds.Object["status"] = status
	_, err := s.dyn.Resource(dataSources).Namespace(ds.GetNamespace()).UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
