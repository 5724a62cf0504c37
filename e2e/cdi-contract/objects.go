package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type object = map[string]any

// Annotations and other names of CDI.
const (
	group           = "cdi.kubevirt.io"
	annPopulatedFor = group + "/storage.populatedFor"
	annPrePopulated = group + "/storage.prePopulated"
	annAdoption     = group + "/allowClaimAdoption"
	annCreatedFor   = group + "/createdForDataVolume"
	annPopulator    = group + "/storage.usePopulator"
	annExternal     = group + "/externalPopulation"
	annCloneToken   = group + "/storage.clone.token"
	annCloneRequest = "k8s.io/CloneRequest"
	annCloneOf      = "k8s.io/CloneOf"
	gateAdoption    = "DataVolumeClaimAdoption"
)

func cdi(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1beta1", Resource: plural}
}

var (
	dataVolumes = cdi("datavolumes")
	dataSources = cdi("datasources")
	cdiConfigs  = cdi("cdiconfigs")
	cdis        = cdi("cdis")
)

// place names an object that others refer to.
type place struct{ namespace, name string }

func (p place) String() string { return p.namespace + "/" + p.name }

// named reads a reference; its namespace is the object's own if it has none.
func named(o *unstructured.Unstructured, path ...string) place {
	m, _, _ := unstructured.NestedMap(o.Object, path...)
	name, _ := m["name"].(string)
	namespace, _ := m["namespace"].(string)
	if namespace == "" {
		namespace = o.GetNamespace()
	}
	return place{namespace, name}
}

// token stands where CDI keeps a signed one: it names the source, and nobody checks it.
func (p place) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.String()))
}

// cloneSource is the source that was fixed at the DataVolume's creation.
func cloneSource(dv *unstructured.Unstructured) (place, bool) {
	text, err := base64.RawURLEncoding.DecodeString(dv.GetAnnotations()[annCloneToken])
	for i, c := range text {
		if err == nil && c == '/' {
			return place{string(text[:i]), string(text[i+1:])}, true
		}
	}
	return place{}, false
}

// claimSpec is spec.pvc or spec.storage, and whether it is the latter.
func claimSpec(dv *unstructured.Unstructured) (object, bool) {
	if storage, found, _ := unstructured.NestedMap(dv.Object, "spec", "storage"); found {
		return storage, true
	}
	claim, _, _ := unstructured.NestedMap(dv.Object, "spec", "pvc")
	return claim, false
}

// external tells whether another populator is to fill the claim.
func external(dv *unstructured.Unstructured) bool {
	spec, _ := claimSpec(dv)
	return spec["dataSource"] != nil || spec["dataSourceRef"] != nil
}

func request(spec object) (resource.Quantity, bool) {
	value, found, _ := unstructured.NestedFieldNoCopy(spec, "resources", "requests", "storage")
	if !found {
		return resource.Quantity{}, false
	}
	size, err := resource.ParseQuantity(fmt.Sprint(value))
	return size, err == nil
}

// claim returns nil if there is none.
func (s *standIn) claim(ctx context.Context, namespace, name string) (*v1.PersistentVolumeClaim, error) {
	claim, err := s.kube.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return claim, err
}

// mergePatch is a merge patch; that marshalling of maps and strings fails is not possible.
func mergePatch(patch object) []byte {
	bytes, _ := json.Marshal(patch)
	return bytes
}

func owner(dv *unstructured.Unstructured) metav1.OwnerReference {
	return *metav1.NewControllerRef(dv, schema.GroupVersionKind{Group: group, Version: "v1beta1", Kind: "DataVolume"})
}
