// cdi-contract is a thin stand-in for CDI in a test cluster: its definitions, its webhooks on
// DataVolumes, and the adoption of claims as docs say it was observed (README.md names the rows).
// It copies, imports and uploads nothing, and it is no CDI.
// Invariant: it acts on DataVolumes, DataSources, CDIConfig and the claims of DataVolumes only.
//
//	cdi-contract serve [-listen 127.0.0.1:9443] [-ready FILE]    until it is ended
//	cdi-contract remove | kubevirt | remove-kubevirt             what the names say, then it ends
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if len(os.Args) < 2 {
		log.Fatal("usage: cdi-contract serve|remove|kubevirt|remove-kubevirt")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, command string, args []string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 500, 1000
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	switch command {
	case "serve":
		flags := flag.NewFlagSet("serve", flag.ExitOnError)
		listen := flags.String("listen", "127.0.0.1:9443", "address that the API server reaches")
		ready := flags.String("ready", "", "file that is made when everything works")
		_ = flags.Parse(args)
		return serve(ctx, dyn, client, *listen, *ready)
	case "remove":
		return uninstall(ctx, dyn, "cdi")
	case "kubevirt":
		return install(ctx, dyn, kubevirtManifest)
	case "remove-kubevirt":
		return uninstall(ctx, dyn, "kubevirt")
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// serve installs CDI's definitions, answers its webhooks and acts as its controllers.
func serve(ctx context.Context, dyn dynamic.Interface, client kubernetes.Interface, listen, ready string) error {
	if err := install(ctx, dyn, cdiManifest); err != nil {
		return err
	}
	s := newStandIn(dyn, client)
	if err := s.defaults(ctx); err != nil {
		return err
	}
	ca, failed, err := s.listen(listen)
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := installWebhooks(ctx, dyn, "https://"+listen, ca); err != nil {
		return err
	}
	if err := s.webhooksWork(ctx); err != nil {
		return err
	}
	log.Print("running")
	if ready != "" {
		if err := os.WriteFile(ready, nil, 0o644); err != nil {
			return err
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
