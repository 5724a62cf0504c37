// provisioner makes and removes the node-local volumes of the test cluster: it is what a real
// external provisioner is to a real cluster, and as strict. It has no snapshots, no clones, no
// expansion, and knows one node only.
// Invariants: a claim that names a data source (dataSource or dataSourceRef) is never touched, a
// volume's backing storage goes only after nothing uses it, and every loop device is written to
// the -loops file before anybody can use it, so that `down` finds it.
//
//	provisioner -kubeconfig FILE -dir DIR -loops FILE -node NAME
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const (
	driver        = "cluster.vmimage.dev/local"
	finalizer     = "cluster.vmimage.dev/backing-storage"
	annSelected   = "volume.kubernetes.io/selected-node"
	annAsked      = "volume.kubernetes.io/storage-provisioner"
	annProvidedBy = "pv.kubernetes.io/provisioned-by"
	workers       = 4 // so that filling one large Block volume does not hold up the others
)

type provisioner struct {
	client  kubernetes.Interface
	factory informers.SharedInformerFactory
	queue   workqueue.TypedRateLimitingInterface[string]
	events  record.EventRecorder
	store   *store
	node    string
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	dir := flag.String("dir", "", "where volumes lie")
	loops := flag.String("loops", "", "list of the loop devices in use")
	node := flag.String("node", "", "")
	flag.Parse()
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(cfg)
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedv1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	p := &provisioner{
		client:  client,
		factory: informers.NewSharedInformerFactory(client, 30*time.Second),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](500*time.Millisecond, 10*time.Second)),
		events: broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: driver}),
		store:  &store{dir: *dir, loops: *loops},
		node:   *node,
	}
	enqueue := func(o any) {
		if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = t.Obj
		}
		switch o := o.(type) {
		case *v1.PersistentVolumeClaim:
			p.queue.Add("claim/" + o.Namespace + "/" + o.Name)
		case *v1.PersistentVolume:
			p.queue.Add("volume/" + o.Name)
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, o any) { enqueue(o) }}
	for _, i := range []cache.SharedIndexInformer{
		p.factory.Core().V1().PersistentVolumeClaims().Informer(), p.factory.Core().V1().PersistentVolumes().Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			log.Fatal(err)
		}
	}
	p.factory.Storage().V1().StorageClasses().Informer()
	ctx := context.Background()
	p.factory.Start(ctx.Done())
	p.factory.WaitForCacheSync(ctx.Done())
	log.Print("running")
	for range workers {
		go p.work(ctx)
	}
	select {}
}

func (p *provisioner) work(ctx context.Context) {
	for {
		key, _ := p.queue.Get()
		if err := p.reconcile(ctx, key); err != nil {
			log.Printf("%s: %v", key, err)
			p.queue.AddRateLimited(key)
		} else {
			p.queue.Forget(key)
		}
		p.queue.Done(key)
	}
}

func (p *provisioner) reconcile(ctx context.Context, key string) error {
	part := strings.Split(key, "/")
	if part[0] == "volume" {
		pv, err := p.factory.Core().V1().PersistentVolumes().Lister().Get(part[1])
		if apierrors.IsNotFound(err) {
			return nil
		}
		return p.reclaim(ctx, pv)
	}
	claim, err := p.factory.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(part[1]).Get(part[2])
	if apierrors.IsNotFound(err) {
		return nil
	}
	class, ours := p.wants(claim)
	if !ours {
		return nil
	}
	return p.provision(ctx, claim, class)
}

// wants says whether the claim is waiting for this provisioner now.
func (p *provisioner) wants(c *v1.PersistentVolumeClaim) (*storagev1.StorageClass, bool) {
	if c.Spec.VolumeName != "" || c.DeletionTimestamp != nil || c.Spec.StorageClassName == nil || c.Annotations[annAsked] != driver {
		return nil, false
	}
	if c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil {
		return nil, false // a populator's claim
	}
	class, err := p.factory.Storage().V1().StorageClasses().Lister().Get(*c.Spec.StorageClassName)
	if err != nil || class.Provisioner != driver {
		return nil, false
	}
	late := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	return class, !late || c.Annotations[annSelected] == p.node
}

func (p *provisioner) provision(ctx context.Context, c *v1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	name := "pvc-" + string(c.UID)
	if _, err := p.factory.Core().V1().PersistentVolumes().Lister().Get(name); err == nil {
		return nil // the binder has yet to see it
	}
	p.events.Eventf(c, v1.EventTypeNormal, "Provisioning", "%s is provisioning volume for claim %q", driver, c.Namespace+"/"+c.Name)
	pv, err := p.create(c, class, name)
	if err == nil {
		_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		if err != nil {
			err = errors.Join(err, p.store.remove(name))
		}
	}
	if err != nil {
		p.events.Eventf(c, v1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %v", class.Name, err)
		return err
	}
	p.events.Eventf(c, v1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", name)
	log.Printf("provisioned %s for %s/%s at %s", name, c.Namespace, c.Name, pv.Spec.Local.Path)
	return nil
}

// create makes the backing storage and returns the PersistentVolume to be.
func (p *provisioner) create(c *v1.PersistentVolumeClaim, class *storagev1.StorageClass, name string) (*v1.PersistentVolume, error) {
	for _, m := range c.Spec.AccessModes {
		if m != v1.ReadWriteOnce && m != v1.ReadWriteOncePod {
			return nil, fmt.Errorf("access mode %s is not supported, only ReadWriteOnce and ReadWriteOncePod are", m)
		}
	}
	if c.Spec.Selector != nil {
		return nil, errors.New("claim selectors are not supported")
	}
	size := c.Spec.Resources.Requests[v1.ResourceStorage]
	mode, make := v1.PersistentVolumeFilesystem, p.store.filesystem
	if c.Spec.VolumeMode != nil && *c.Spec.VolumeMode == v1.PersistentVolumeBlock {
		mode, make = v1.PersistentVolumeBlock, p.store.block
	}
	path, err := make(name, size.Value())
	if err != nil {
		return nil, errors.Join(err, p.store.remove(name))
	}
	reclaim := v1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	here := v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{
		{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{p.node}}}}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annProvidedBy: driver}, Finalizers: []string{finalizer}},
		Spec: v1.PersistentVolumeSpec{
			Capacity: v1.ResourceList{v1.ResourceStorage: size}, AccessModes: c.Spec.AccessModes, VolumeMode: &mode,
			StorageClassName: class.Name, PersistentVolumeReclaimPolicy: reclaim,
			ClaimRef:               &v1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID},
			PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity:           &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{here}}}}}, nil
}
