package main

import (
	"context"
	"log"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reclaim ends a released volume: storage first, then the object, then our hold on it.
func (p *provisioner) reclaim(ctx context.Context, pv *v1.PersistentVolume) error {
	if pv.Annotations[annProvidedBy] != driver {
		return nil
	}
	released := pv.Status.Phase == v1.VolumeReleased || pv.Status.Phase == v1.VolumeFailed
	if pv.DeletionTimestamp == nil && !released || pv.Status.Phase == v1.VolumeBound {
		return nil
	}
	if pv.Spec.PersistentVolumeReclaimPolicy == v1.PersistentVolumeReclaimDelete {
		if err := p.store.remove(pv.Name); err != nil {
			return err // still in use: tried again
		}
		if pv.DeletionTimestamp == nil {
			if err := p.client.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	} else if pv.DeletionTimestamp == nil {
		return nil // Retain
	}
	live, err := p.client.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	var rest []string
	for _, f := range live.Finalizers {
		if f != finalizer {
			rest = append(rest, f)
		}
	}
	if len(rest) == len(live.Finalizers) {
		return nil
	}
	live.Finalizers = rest
	if _, err = p.client.CoreV1().PersistentVolumes().Update(ctx, live, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		err = nil
	}
	if err == nil {
		log.Print("deleted ", pv.Name)
	}
	return err
}
