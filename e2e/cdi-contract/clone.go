package main

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A clone's phases last so long, for watchers to see them.
const cloneStep = 500 * time.Millisecond

// cloneReady tells whether the source can be cloned from, and gives the claim to be its labels and,
// if it has none, its size.
func (d *dataVolume) cloneReady(ctx context.Context, source place, spec object) (bool, error) {
	claim, err := d.s.claim(ctx, source.namespace, source.name)
	if err != nil {
		return false, err
	}
	if claim == nil {
		d.wait("CloneWithoutSource", fmt.Sprintf("The source pvc %s doesn't exist", source.name))
		return false, nil
	}
	if claim.Status.Phase != v1.ClaimBound {
		d.wait("", "")
		return false, nil
	}
	if _, sized := request(spec); !sized {
		size := claim.Spec.Resources.Requests[v1.ResourceStorage]
		spec["resources"] = object{"requests": object{"storage": size.String()}}
	}
	labels, err := d.inherit(ctx, claim)
	if err != nil || len(labels) == 0 {
		return err == nil, err
	}
	patch := mergePatch(object{"metadata": object{"labels": labels}})
	updated, err := d.s.dyn.Resource(dataVolumes).Namespace(d.GetNamespace()).Patch(ctx, d.GetName(), types.MergePatchType, patch, metav1.PatchOptions{})
	if err == nil {
		d.SetLabels(updated.GetLabels())
	}
	return err == nil, err
}

// inherit returns the labels that a clone takes over: of its DataSource, else of the source itself.
func (d *dataVolume) inherit(ctx context.Context, claim *v1.PersistentVolumeClaim) (map[string]string, error) {
	from := claim.Labels
	if reference := named(d.Unstructured, "spec", "sourceRef"); reference.name != "" {
		ds, err := d.s.dyn.Resource(dataSources).Namespace(reference.namespace).Get(ctx, reference.name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		if err == nil {
			from = ds.GetLabels()
		}
	}
	labels := map[string]string{}
	for key, value := range from {
		if inherited.MatchString(key) && d.GetLabels()[key] != value {
			labels[key] = value
		}
	}
	return labels, nil
}

// cloning is the step of a clone whose target has a volume. No byte is copied.
func (d *dataVolume) cloning(ctx context.Context, claim *v1.PersistentVolumeClaim, source place) error {
	from, err := d.toldSource(ctx, source)
	if err != nil {
		return err
	}
	into := place{claim.Namespace, claim.Name}
	again := "volume/" + into.String()
	present, err := d.s.claim(ctx, source.namespace, source.name)
	if err != nil {
		return err
	}
	switch d.status["phase"] {
	case succeeded:
	case "CloneInProgress":
		d.status["progress"] = "100.0%"
		d.succeed(claim, "100.0%")
		if d.condition("Running", "False", "Completed", "Clone Complete") {
			d.event(v1.EventTypeWarning, "Completed", "Clone Complete")
		}
		d.event(v1.EventTypeNormal, "CloneSucceeded", fmt.Sprintf("Successfully cloned from %s into %s", from, into))
		patch := mergePatch(object{"metadata": object{"annotations": object{annCloneOf: "true"}}})
		_, err = d.s.kube.CoreV1().PersistentVolumeClaims(into.namespace).Patch(ctx, into.name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	case "CloneScheduled":
		if present == nil || present.Status.Phase != v1.ClaimBound {
			return nil // it stays so, and nothing says why
		}
		d.phase("CloneInProgress", claim)
		d.condition("Running", "True", "Pod is running", "")
		d.event(v1.EventTypeNormal, "CloneInProgress", fmt.Sprintf("Cloning from %s into %s in progress", from, into))
		d.s.queue.AddAfter(again, cloneStep)
	default:
		d.phase("CloneScheduled", claim)
		d.condition("Ready", "False", "", "")
		d.condition("Running", "False", "", "")
		if present != nil {
			d.event(v1.EventTypeNormal, "CloneScheduled", fmt.Sprintf("Cloning from %s into %s scheduled", from, into))
		}
		d.s.queue.AddAfter(again, cloneStep)
	}
	return nil
}

// toldSource is the source that events name: what the DataSource says now, even if the bytes come
// from the one that was fixed.
func (d *dataVolume) toldSource(ctx context.Context, fixed place) (place, error) {
	reference := named(d.Unstructured, "spec", "sourceRef")
	if reference.name == "" {
		return fixed, nil
	}
	ds, err := d.s.dyn.Resource(dataSources).Namespace(reference.namespace).Get(ctx, reference.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fixed, nil
	}
	if err != nil {
		return fixed, err
	}
	if now := named(ds, "spec", "source", "pvc"); now.name != "" {
		return now, nil
	}
	return fixed, nil
}
