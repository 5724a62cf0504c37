package main

import (
	"context"
	"errors"
	"log"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const workers = 4

// standIn is CDI's controllers in one. It reads objects afresh for each step; its caches only say
// whom a change concerns.
type standIn struct {
	dyn     dynamic.Interface
	kube    kubernetes.Interface
	queue   workqueue.TypedRateLimitingInterface[string]
	events  record.EventRecorder
	volumes cache.Indexer
	sources cache.Indexer
}

func newStandIn(dyn dynamic.Interface, client kubernetes.Interface) *standIn {
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
	// What fails is tried again soon: a half-adopted claim (E1 c) is only found so.
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 2*time.Second)
	return &standIn{dyn: dyn, kube: client, queue: workqueue.NewTypedRateLimitingQueue(limiter),
		events: events.NewRecorder(scheme.Scheme, v1.EventSource{Component: "datavolume-controller"})}
}

func key(kind string, o metav1.Object) string {
	return kind + "/" + o.GetNamespace() + "/" + o.GetName()
}

// handler calls seen for every object that appears, changes (old is then the one before) or goes.
func handler(seen func(old, now metav1.Object)) cache.ResourceEventHandlerFuncs {
	tell := func(old, now any) {
		if gone, ok := now.(cache.DeletedFinalStateUnknown); ok {
			now = gone.Obj
		}
		o, err := meta.Accessor(now)
		if err != nil {
			return
		}
		before, _ := old.(metav1.Object)
		seen(before, o)
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: func(o any) { tell(nil, o) }, DeleteFunc: func(o any) { tell(nil, o) }, UpdateFunc: tell}
}

// start watches and works. Nothing is looked at again without a change: CDI has no such watch
// either, and a claim that appears for a waiting DataVolume shows it (E1 e).
func (s *standIn) start(ctx context.Context) error {
	ours := dynamicinformer.NewDynamicSharedInformerFactory(s.dyn, 0)
	theirs := informers.NewSharedInformerFactory(s.kube, 0)
	volumes, sources := ours.ForResource(dataVolumes).Informer(), ours.ForResource(dataSources).Informer()
	s.volumes, s.sources = volumes.GetIndexer(), sources.GetIndexer()
	config := func(_, _ metav1.Object) { s.queue.Add("config//") }
	for informer, seen := range map[cache.SharedIndexInformer]func(old, now metav1.Object){
		volumes:                           func(_, o metav1.Object) { s.queue.Add(key("volume", o)) },
		sources:                           func(_, o metav1.Object) { s.queue.Add(key("source", o)) },
		ours.ForResource(cdis).Informer(): config,
		theirs.Storage().V1().StorageClasses().Informer():      config,
		theirs.Core().V1().PersistentVolumeClaims().Informer(): s.claimSeen,
	} {
		if _, err := informer.AddEventHandler(handler(seen)); err != nil {
			return err
		}
	}
	ours.Start(ctx.Done())
	theirs.Start(ctx.Done())
	ours.WaitForCacheSync(ctx.Done())
	theirs.WaitForCacheSync(ctx.Done())
	for range workers {
		go s.work(ctx)
	}
	return ctx.Err()
}

// claimSeen wakes whom CDI wakes: the DataVolume that controls the claim, the one that it is
// populated for, clones of it, and DataSources that name it.
func (s *standIn) claimSeen(old, now metav1.Object) {
	if controller := metav1.GetControllerOf(now); controller != nil && controller.Kind == "DataVolume" {
		s.queue.Add("volume/" + now.GetNamespace() + "/" + controller.Name)
		if old != nil && old.GetDeletionTimestamp() == nil && now.GetDeletionTimestamp() != nil {
			dv := &v1.ObjectReference{APIVersion: group + "/v1beta1", Kind: "DataVolume", Namespace: now.GetNamespace(), Name: controller.Name, UID: controller.UID}
			s.events.Eventf(dv, v1.EventTypeWarning, "ErrResourceMarkedForDeletion", "Resource %q marked for deletion", now.GetName())
		}
	}
	if name := now.GetAnnotations()[annPopulatedFor]; name != "" {
		s.queue.Add("volume/" + now.GetNamespace() + "/" + name)
	}
	self := place{now.GetNamespace(), now.GetName()}
	for _, o := range s.volumes.List() {
		if source, clones := cloneSource(o.(*unstructured.Unstructured)); clones && source == self {
			s.queue.Add(key("volume", o.(metav1.Object)))
		}
	}
	for _, o := range s.sources.List() {
		if named(o.(*unstructured.Unstructured), "spec", "source", "pvc") == self {
			s.queue.Add(key("source", o.(metav1.Object)))
		}
	}
}

func (s *standIn) work(ctx context.Context) {
	for {
		key, ended := s.queue.Get()
		if ended {
			return
		}
		if err := s.reconcile(ctx, key); err != nil {
			log.Printf("%s: %v", key, err)
			s.queue.AddRateLimited(key)
		} else {
			s.queue.Forget(key)
		}
		s.queue.Done(key)
	}
}

func (s *standIn) reconcile(ctx context.Context, key string) error {
	part := strings.SplitN(key, "/", 3)
	switch part[0] {
	case "volume":
		return s.volume(ctx, part[1], part[2])
	case "source":
		return s.source(ctx, part[1], part[2])
	case "config":
		return s.config(ctx)
	}
	return errors.New("no such key")
}
