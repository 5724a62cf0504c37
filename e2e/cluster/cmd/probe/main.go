// probe is the program of the pods that the cluster's own tests run. Each flag is one check;
// it prints what it saw and exits non-zero at the first surprise. It tests nothing of the operator.
// Invariant: it needs no shell, no writable root and no capability.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

func fail(f string, a ...any) {
	fmt.Printf("FAIL: "+f+"\n", a...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func restricted() {
	fmt.Printf("uid=%d gid=%d\n", os.Getuid(), os.Getgid())
	if err := os.WriteFile("/rootfs-write-test", nil, 0o644); err == nil {
		fail("the root filesystem is writable")
	}
	if _, err := os.Stat(serviceAccount); err == nil {
		fail("a service-account token is mounted")
	}
	st, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, want := range []string{"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(st), want) {
			fail("/proc/self/status lacks %q", want)
		}
	}
	fmt.Println("restricted: ok")
}

// data writes a proof, then fills the filesystem: a size limit that is not real shows here.
func data(dir string, limit int64) {
	if _, err := os.Stat(filepath.Join(dir, "lost+found")); err != nil {
		fail("no lost+found: %v", err)
	}
	var s syscall.Stat_t
	check(syscall.Stat(dir, &s))
	fmt.Printf("%s owner %d:%d mode %o\n", dir, s.Uid, s.Gid, s.Mode&0o7777)
	check(os.WriteFile(filepath.Join(dir, "proof.txt"), []byte(fmt.Sprintf("written by %d:%d\n", os.Getuid(), os.Getgid())), 0o644))
	if limit == 0 {
		return
	}
	big := filepath.Join(dir, "fill")
	f, err := os.Create(big)
	check(err)
	var n int64
	for buf := make([]byte, 64<<10); n <= limit; {
		w, err := f.Write(buf)
		n += int64(w)
		if errors.Is(err, syscall.ENOSPC) {
			fmt.Printf("ENOSPC after %d bytes: ok\n", n)
			check(f.Close())
			check(os.Remove(big))
			return
		}
		check(err)
	}
	fail("wrote %d bytes without ENOSPC", n)
}

func block(dev string) {
	var s syscall.Stat_t
	check(syscall.Stat(dev, &s))
	if s.Mode&syscall.S_IFMT != syscall.S_IFBLK {
		fail("%s is no block device", dev)
	}
	f, err := os.OpenFile(dev, os.O_RDWR|syscall.O_SYNC, 0)
	check(err)
	size, err := f.Seek(0, io.SeekEnd)
	check(err)
	buf := make([]byte, 4096)
	for _, at := range []int64{0, size / 2, size - 4096} {
		_, err = f.ReadAt(buf, at)
		check(err)
		if !bytes.Equal(buf, bytes.Repeat([]byte{0xA5}, 4096)) {
			fail("offset %d is not filled with 0xA5", at)
		}
	}
	_, err = f.WriteAt([]byte("written by the probe"), 0)
	check(err)
	fmt.Printf("%s owner %d:%d size %d filled with 0xA5: ok\n", dev, s.Uid, s.Gid, size)
}

func api() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := net.DefaultResolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local")
	check(err)
	fmt.Println("DNS:", a)
	ca, err := os.ReadFile(serviceAccount + "ca.crt")
	check(err)
	token, err := os.ReadFile(serviceAccount + "token")
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for path, want := range map[string]int{"/version": 200, "/api/v1/namespaces/kube-system/secrets": 403} {
		r, err := http.NewRequestWithContext(ctx, "GET", "https://kubernetes.default.svc.cluster.local"+path, nil)
		check(err)
		r.Header.Set("Authorization", "Bearer "+string(token))
		resp, err := c.Do(r)
		check(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			fail("GET %s: %s, wanted %d", path, resp.Status, want)
		}
		fmt.Printf("GET %s: %s: ok\n", path, resp.Status)
	}
}

func main() {
	isRestricted := flag.Bool("restricted", false, "check that the pod is confined")
	dir := flag.String("data", "", "directory of a Filesystem volume")
	limit := flag.Int64("fill", 0, "with -data: ENOSPC must come before this many bytes")
	dev := flag.String("block", "", "device of a Block volume")
	withAPI := flag.Bool("api", false, "call the API server by its DNS name")
	hold := flag.Bool("hold", false, "keep everything open until killed")
	flag.Parse()
	if *isRestricted {
		restricted()
	}
	if *dir != "" {
		data(*dir, *limit)
	}
	if *dev != "" {
		block(*dev)
	}
	if *withAPI {
		api()
	}
	fmt.Println("done")
	if !*hold {
		return
	}
	if *dir != "" {
		held = append(held, open(filepath.Join(*dir, "held")))
	}
	if *dev != "" {
		held = append(held, open(*dev))
	}
	for {
		time.Sleep(time.Hour)
	}
}

var held []*os.File // global, so that no finalizer closes them

func open(name string) *os.File {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	check(err)
	return f
}
