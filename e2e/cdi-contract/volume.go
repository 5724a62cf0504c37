package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"reflect"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Phases of a DataVolume.
const (
	pending         = "Pending"
	waitForConsumer = "WaitForFirstConsumer"
	succeeded       = "Succeeded"
)

var controllerLabels = map[string]string{"app": "containerized-data-importer", "app.kubernetes.io/component": "storage",
	"app.kubernetes.io/managed-by": "cdi-controller", "alerts.k8s.io/KubePersistentVolumeFillingUp": "disabled"}

// dataVolume is a DataVolume in one step of its controller; its status is written at the end.
type dataVolume struct {
	*unstructured.Unstructured
	status object
	s      *standIn
}

// volume does what CDI's DataVolume controller does with one DataVolume.
func (s *standIn) volume(ctx context.Context, namespace, name string) error {
	o, err := s.dyn.Resource(dataVolumes).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && o.GetDeletionTimestamp() != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	status, _, _ := unstructured.NestedMap(o.Object, "status")
	if status == nil {
		status = object{}
	}
	d := &dataVolume{o, status, s}
	claim, err := s.claim(ctx, namespace, name)
	if err != nil {
		return err
	}
	switch {
	case claim == nil:
		claim, err = d.lacking(ctx)
		if err == nil && claim != nil {
			err = d.filling(ctx, claim)
		}
	case claim.DeletionTimestamp != nil:
		// Tried again until it is gone: of one that another controls nobody wakes us then.
		err = fmt.Errorf("%s is marked for deletion", claim.Name)
	default:
		err = d.having(ctx, claim)
	}
	return errors.Join(err, d.save(ctx))
}

// populated tells whether the claim is content for this DataVolume, which leaves it as it is.
func (s *standIn) populated(ctx context.Context, dv *unstructured.Unstructured, claim *v1.PersistentVolumeClaim) (bool, error) {
	if claim.Annotations[annPopulatedFor] == dv.GetName() {
		return true, nil
	}
	if uid := claim.Annotations[annCreatedFor]; uid != "" && uid == string(dv.GetUID()) {
		return false, nil
	}
	if text, said := dv.GetAnnotations()[annAdoption]; said {
		allowed, _ := strconv.ParseBool(text)
		return allowed, nil
	}
	return s.gate(ctx, gateAdoption)
}

// having is the step of a DataVolume whose claim is there: adopted, refused or being filled.
func (d *dataVolume) having(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	populated, err := d.s.populated(ctx, d.Unstructured, claim)
	if err != nil {
		return err
	}
	controlled := metav1.IsControlledBy(claim, d)
	if !populated {
		if controlled {
			return d.filling(ctx, claim)
		}
		d.event(v1.EventTypeWarning, "ErrResourceExists", fmt.Sprintf("Resource %q already exists and is not managed by DataVolume", claim.Name))
		phase := pending
		if claim.Status.Phase == v1.ClaimBound {
			phase = "PVCBound"
		}
		d.phase(phase, claim)
		d.condition("Ready", "False", "", "")
		return nil
	}
	if other := metav1.GetControllerOf(claim); other != nil && !controlled {
		d.succeed(claim, "N/A")
		return fmt.Errorf("Object %s/%s is already owned by another %s controller %s", claim.Namespace, claim.Name, other.Kind, other.Name)
	}
	if !controlled {
		if err := d.own(ctx, claim); err != nil {
			return err
		}
	}
	marks := map[string]string{annPopulator: "false"}
	if claim.Status.Phase == v1.ClaimBound && claim.Annotations[annPopulatedFor] == d.GetName() {
		marks[annPrePopulated] = claim.Name
	}
	if err := d.annotate(ctx, marks); err != nil {
		return err
	}
	d.succeed(claim, "N/A")
	return nil
}

// own makes the DataVolume the controller of a claim, beside what owners it has.
func (d *dataVolume) own(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	references := append(claim.OwnerReferences, owner(d.Unstructured))
	patch := mergePatch(object{"metadata": object{"resourceVersion": claim.ResourceVersion, "ownerReferences": references}})
	_, err := d.s.kube.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// annotate adds annotations to the DataVolume.
func (d *dataVolume) annotate(ctx context.Context, more map[string]string) error {
	now := d.GetAnnotations()
	for key, value := range more {
		if now[key] == value {
			delete(more, key)
		}
	}
	if len(more) == 0 {
		return nil
	}
	patch := mergePatch(object{"metadata": object{"annotations": more}})
	_, err := d.s.dyn.Resource(dataVolumes).Namespace(d.GetNamespace()).Patch(ctx, d.GetName(), types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// lacking is the step of a DataVolume without a claim: it waits for one, or it makes an empty one,
// which it returns.
func (d *dataVolume) lacking(ctx context.Context) (*v1.PersistentVolumeClaim, error) {
	spec, rendered := claimSpec(d.Unstructured)
	class, _ := spec["storageClassName"].(string)
	if modes, _ := spec["accessModes"].([]any); rendered && len(modes) == 0 {
		// Storage profiles are empty here, as that of an unknown provisioner is.
		d.event(v1.EventTypeWarning, "ErrClaimNotValid", "Spec is missing accessMode and volumeMode, cannot get access mode from StorageProfile "+class)
		for _, kind := range []string{"Bound", "Ready"} {
			d.condition(kind, "False", "ErrClaimNotValid", "no accessMode specified in StorageProfile "+class)
		}
		return nil, nil
	}
	if _, waits := d.GetAnnotations()[annPrePopulated]; waits {
		d.wait("NotFound", "No PVC found")
		return nil, nil
	}
	annotations := map[string]string{annCreatedFor: string(d.GetUID())}
	if external(d.Unstructured) {
		annotations[annExternal] = "true"
	}
	if source, clones := cloneSource(d.Unstructured); clones {
		ready, err := d.cloneReady(ctx, source, spec)
		if err != nil || !ready {
			return nil, err
		}
		annotations[annCloneRequest] = source.String()
	}
	return d.create(ctx, spec, rendered, annotations)
}

// wait is a DataVolume's state while it has nothing to do.
func (d *dataVolume) wait(reason, message string) {
	d.status["phase"] = pending
	d.bound("False", reason, message)
	ready := [2]string{}
	if reason == "CloneWithoutSource" {
		ready = [2]string{reason, message}
	}
	d.condition("Ready", "False", ready[0], ready[1])
	d.condition("Running", "False", "", "")
}

// create makes the DataVolume's own claim, with nothing in it.
func (d *dataVolume) create(ctx context.Context, spec object, rendered bool, annotations map[string]string) (*v1.PersistentVolumeClaim, error) {
	claim := &v1.PersistentVolumeClaim{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &claim.Spec); err != nil {
		return nil, err
	}
	block := claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == v1.PersistentVolumeBlock
	if rendered && !block {
		overhead, err := d.s.overhead(ctx, claim.Spec.StorageClassName)
		if err != nil {
			return nil, err
		}
		claim.Spec.Resources.Requests[v1.ResourceStorage] = withOverhead(claim.Spec.Resources.Requests[v1.ResourceStorage], overhead)
	}
	labels := map[string]string{}
	for key, value := range controllerLabels {
		labels[key] = value
	}
	for key, value := range d.GetLabels() {
		if inherited.MatchString(key) {
			labels[key] = value
		}
	}
	claim.ObjectMeta = metav1.ObjectMeta{Namespace: d.GetNamespace(), Name: d.GetName(), Annotations: annotations, Labels: labels,
		OwnerReferences: []metav1.OwnerReference{owner(d.Unstructured)}}
	return d.s.kube.CoreV1().PersistentVolumeClaims(d.GetNamespace()).Create(ctx, claim, metav1.CreateOptions{})
}

// withOverhead is a claim's request for a disk of this size: whole MiB, and the share on top.
func withOverhead(size resource.Quantity, overhead float64) resource.Quantity {
	const mib = 1 << 20
	whole := (size.Value() + mib - 1) / mib * mib
	return *resource.NewQuantity(int64(math.Ceil(float64(whole)*(1+overhead))), resource.BinarySI)
}

// filling is the step of a DataVolume with a claim of its own making. There is no engine: only
// clones end, and with an empty volume.
func (d *dataVolume) filling(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	if err := d.annotate(ctx, map[string]string{annPopulator: "false"}); err != nil {
		return err
	}
	d.status["claimName"] = claim.Name
	if claim.Status.Phase != v1.ClaimBound {
		phase, err := d.unbound(ctx, claim)
		if err != nil {
			return err
		}
		d.phase(phase, claim)
		d.condition("Ready", "False", "", "")
		d.condition("Running", "False", "", "")
		return nil
	}
	if source, clones := cloneSource(d.Unstructured); clones {
		return d.cloning(ctx, claim, source)
	}
	phase := "ImportScheduled"
	if _, uploads, _ := unstructured.NestedMap(d.Object, "spec", "source", "upload"); uploads {
		phase = "UploadScheduled"
	} else if external(d.Unstructured) {
		phase = "PVCBound"
	}
	d.phase(phase, claim)
	d.condition("Ready", "False", "", "")
	d.condition("Running", "False", "", "")
	return nil
}

// unbound is the phase of a DataVolume whose own claim has no volume yet.
func (d *dataVolume) unbound(ctx context.Context, claim *v1.PersistentVolumeClaim) (string, error) {
	if claim.Spec.StorageClassName == nil {
		return pending, nil
	}
	class, err := d.s.kube.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return pending, nil
	}
	if err != nil {
		return "", err
	}
	if class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer {
		return waitForConsumer, nil
	}
	return pending, nil
}

// phase sets the phase and, from the claim, the condition Bound.
func (d *dataVolume) phase(phase string, claim *v1.PersistentVolumeClaim) {
	d.status["phase"] = phase
	if claim.Status.Phase == v1.ClaimBound {
		d.bound("True", "Bound", fmt.Sprintf("PVC %s Bound", claim.Name))
	} else {
		d.bound("False", "Pending", fmt.Sprintf("PVC %s Pending", claim.Name))
	}
}

func (d *dataVolume) succeed(claim *v1.PersistentVolumeClaim, progress string) {
	d.status["claimName"], d.status["progress"] = claim.Name, progress
	d.phase(succeeded, claim)
	d.condition("Ready", "True", "", "")
	if _, clones := cloneSource(d.Unstructured); !clones || progress == "N/A" {
		d.condition("Running", "False", "", "")
	}
}

// bound sets the condition Bound; a change of it is an event.
func (d *dataVolume) bound(status, reason, message string) {
	if d.condition("Bound", status, reason, message) && reason != "" {
		d.event(v1.EventTypeNormal, reason, message)
	}
}

// condition sets a condition and tells whether it is another than before.
func (d *dataVolume) condition(kind, status, reason, message string) bool {
	now := time.Now().UTC().Format(time.RFC3339)
	all, _ := d.status["conditions"].([]any)
	made := object{"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": now}
	for i, c := range all {
		old, _ := c.(object)
		if old["type"] != kind {
			continue
		}
		text := func(field string) string { t, _ := old[field].(string); return t }
		if text("status") == status && text("reason") == reason && text("message") == message {
			return false
		}
		if text("status") == status {
			made["lastTransitionTime"] = old["lastTransitionTime"]
		}
		all[i] = made
		return true
	}
	d.status["conditions"] = append(all, made)
	return true
}

func (d *dataVolume) event(kind, reason, message string) {
	d.s.events.Event(d.Unstructured, kind, reason, message)
}

// save writes the status if it has changed.
func (d *dataVolume) save(ctx context.Context) error {
	before, _, _ := unstructured.NestedMap(d.Object, "status")
	if reflect.DeepEqual(before, d.status) || (before == nil && len(d.status) == 0) {
		return nil
	}
	if before["phase"] != d.status["phase"] {
		log.Printf("%s/%s: %v, was %v", d.GetNamespace(), d.GetName(), d.status["phase"], before["phase"])
	}
	patch := mergePatch(object{"status": d.status})
	_, err := d.s.dyn.Resource(dataVolumes).Namespace(d.GetNamespace()).Patch(ctx, d.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
