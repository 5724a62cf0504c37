package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"reflect"
	"time"

	admission "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The texts of refusals as they were observed, the leading space as well.
const (
	claimExists        = " Destination PVC %s/%s already exists"
	noSource           = " Data volume should have either Source or SourceRef, or be externally populated"
	storageSizeMissing = " Storage size is missing"
	storageSizeSmall   = " Storage size should be at least 1MiB"
	specUpdate         = "Cannot update DataVolume Spec"
	dataSourceMissing  = " datasources.cdi.kubevirt.io %q not found"
)

// listen answers both webhooks with a certificate made here, which it returns.
func (s *standIn) listen(address string) ([]byte, <-chan error, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "cdi-contract"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(host)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/datavolume-mutate", review(s.mutate))
	mux.Handle("/datavolume-validate", review(s.validate))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), failed, nil
}

// refusal is a denial with its text; any other error is a fault of ours.
type refusal string

func (r refusal) Error() string { return string(r) }

// review makes an HTTP handler of a judge, whose patch may be nil.
func review(judge func(context.Context, *admission.AdmissionRequest) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked admission.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Request == nil {
			http.Error(w, fmt.Sprintf("no AdmissionReview: %v", err), http.StatusBadRequest)
			return
		}
		answer := &admission.AdmissionResponse{UID: asked.Request.UID, Allowed: true}
		patch, err := judge(r.Context(), asked.Request)
		if err != nil {
			code := int32(http.StatusInternalServerError)
			if _, ours := err.(refusal); ours {
				code = http.StatusUnprocessableEntity
			}
			answer.Allowed, answer.Result = false, &metav1.Status{Message: err.Error(), Code: code}
		} else if patch != nil {
			kind := admission.PatchTypeJSONPatch
			answer.Patch, answer.PatchType = patch, &kind
		}
		asked.Request, asked.Response = nil, answer
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(asked)
	})
}

func decode(raw []byte) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	return o, json.Unmarshal(raw, &o.Object)
}

// mutate fixes the source of a clone at the DataVolume's creation.
func (s *standIn) mutate(ctx context.Context, request *admission.AdmissionRequest) ([]byte, error) {
	dv, err := decode(request.Object.Raw)
	if err != nil {
		return nil, err
	}
	dv.SetNamespace(request.Namespace)
	source := named(dv, "spec", "source", "pvc")
	if reference := named(dv, "spec", "sourceRef"); reference.name != "" {
		ds, err := s.dyn.Resource(dataSources).Namespace(reference.namespace).Get(ctx, reference.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, refusal(fmt.Sprintf(dataSourceMissing, reference.name))
		}
		if err != nil {
			return nil, err
		}
		source = named(ds, "spec", "source", "pvc")
	}
	if source.name == "" {
		return nil, nil
	}
	annotations := dv.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annCloneToken] = source.token()
	return json.Marshal([]object{{"op": "add", "path": "/metadata/annotations", "value": annotations}})
}

func (s *standIn) validate(ctx context.Context, request *admission.AdmissionRequest) ([]byte, error) {
	dv, err := decode(request.Object.Raw)
	if err != nil {
		return nil, err
	}
	if request.Operation == admission.Update {
		old, err := decode(request.OldObject.Raw)
		if err == nil && !reflect.DeepEqual(old.Object["spec"], dv.Object["spec"]) {
			err = refusal(specUpdate)
		}
		return nil, err
	}
	if err := validSpec(dv); err != nil {
		return nil, err
	}
	claim, err := s.claim(ctx, request.Namespace, dv.GetName())
	if err != nil || claim == nil {
		return nil, err
	}
	allowed, err := s.populated(ctx, dv, claim)
	if err == nil && !allowed {
		err = refusal(fmt.Sprintf(claimExists, request.Namespace, dv.GetName()))
	}
	return nil, err
}

// validSpec judges what can be judged without a look at other objects.
func validSpec(dv *unstructured.Unstructured) error {
	source, hasSource, _ := unstructured.NestedMap(dv.Object, "spec", "source")
	_, hasReference, _ := unstructured.NestedMap(dv.Object, "spec", "sourceRef")
	if !hasSource && !hasReference && !external(dv) {
		return refusal(noSource)
	}
	storage, found, _ := unstructured.NestedMap(dv.Object, "spec", "storage")
	if !found {
		return nil
	}
	_, clones := source["pvc"]
	size, sized := request(storage)
	if !sized && !clones && !hasReference {
		return refusal(storageSizeMissing)
	}
	if sized && size.Cmp(resource.MustParse("1Mi")) < 0 {
		return refusal(storageSizeSmall)
	}
	return nil
}
