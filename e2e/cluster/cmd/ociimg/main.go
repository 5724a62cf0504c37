// ociimg packs files into a FROM-scratch, single-layer OCI image archive that
// `ctr images import` (and so `cluster load`) takes. It pulls nothing and has no base images.
// Invariant: the same inputs give the same bytes (times 0, owners 0:0, sorted keys), and the
// digest of the image's manifest is the only thing on stdout.
//
//	ociimg -o out.tar -name example.test/tool:1 [-user 107:107] [-entry /tool,-flag]
//	       [-env K=V]... [-label K=V]... [-dir PATH[:MODE]]... SRC:DST[:MODE]...
//
// A file keeps mode 0755 if its source is executable and 0644 if not, unless MODE (octal) is given.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

type object = map[string]any

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func digest(b []byte) string { s := sha256.Sum256(b); return "sha256:" + hex.EncodeToString(s[:]) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func mode(s string) int64 {
	m, err := strconv.ParseInt(s, 8, 64)
	check(err)
	return m
}

// layer writes tar entries; parents of an entry are made once, with mode 0755.
type layer struct {
	tw   *tar.Writer
	seen map[string]bool
}

func (l *layer) header(h *tar.Header) {
	h.ModTime, h.Format = time.Unix(0, 0), tar.FormatUSTAR
	check(l.tw.WriteHeader(h))
}

func (l *layer) dir(name string, m int64) {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" || l.seen[name] {
		return
	}
	l.dir(path.Dir(name), 0o755)
	l.seen[name] = true
	l.header(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: m})
}

func (l *layer) file(spec string) {
	p := strings.Split(spec, ":")
	if len(p) < 2 || len(p) > 3 {
		log.Fatalf("%q: want SRC:DST[:MODE]", spec)
	}
	st, err := os.Stat(p[0])
	check(err)
	m := int64(0o644)
	if st.Mode()&0o100 != 0 {
		m = 0o755
	}
	if len(p) == 3 {
		m = mode(p[2])
	}
	b, err := os.ReadFile(p[0])
	check(err)
	dst := strings.Trim(path.Clean("/"+p[1]), "/")
	l.dir(path.Dir("/"+dst), 0o755)
	l.header(&tar.Header{Name: dst, Typeflag: tar.TypeReg, Mode: m, Size: int64(len(b))})
	_, err = l.tw.Write(b)
	check(err)
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("ociimg: ")
	var env, labels, dirs list
	out := flag.String("o", "", "archive to write")
	name := flag.String("name", "", "image reference")
	user := flag.String("user", "", "user (and group) of the image's processes")
	entry := flag.String("entry", "", "entrypoint, its words separated by commas")
	flag.Var(&env, "env", "K=V, may be repeated")
	flag.Var(&labels, "label", "K=V, may be repeated")
	flag.Var(&dirs, "dir", "empty directory PATH[:MODE], may be repeated")
	flag.Parse()
	if *out == "" || *name == "" {
		log.Fatal("-o and -name are needed")
	}

	var raw, packed bytes.Buffer
	l := &layer{tw: tar.NewWriter(&raw), seen: map[string]bool{}}
	for _, d := range dirs {
		p, m, given := strings.Cut(d, ":")
		if !given {
			m = "755"
		}
		l.dir(p, mode(m))
	}
	for _, f := range flag.Args() {
		l.file(f)
	}
	check(l.tw.Close())
	zw, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	check(err)
	_, err = zw.Write(raw.Bytes())
	check(err)
	check(zw.Close())

	run := object{"WorkingDir": "/"}
	if *user != "" {
		run["User"] = *user
	}
	if *entry != "" {
		run["Entrypoint"] = strings.Split(*entry, ",")
	}
	if len(env) > 0 {
		run["Env"] = env
	}
	if len(labels) > 0 {
		kv := map[string]string{}
		for _, x := range labels {
			k, v, _ := strings.Cut(x, "=")
			kv[k] = v
		}
		run["Labels"] = kv
	}
	platform := object{"architecture": runtime.GOARCH, "os": "linux"}
	config, err := json.Marshal(object{"architecture": runtime.GOARCH, "os": "linux", "created": "1970-01-01T00:00:00Z", "config": run,
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(raw.Bytes())}}})
	check(err)
	manifest, err := json.Marshal(object{"schemaVersion": 2, "mediaType": manifestType,
		"config": object{"mediaType": configType, "digest": digest(config), "size": len(config)},
		"layers": []object{{"mediaType": layerType, "digest": digest(packed.Bytes()), "size": packed.Len()}}})
	check(err)
	index, err := json.Marshal(object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
		"manifests": []object{{"mediaType": manifestType, "digest": digest(manifest), "size": len(manifest), "platform": platform,
			"annotations": object{"io.containerd.image.name": *name, "org.opencontainers.image.ref.name": *name}}}})
	check(err)

	var archive bytes.Buffer
	a := &layer{tw: tar.NewWriter(&archive), seen: map[string]bool{}}
	put := func(n string, b []byte) {
		a.header(&tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(b))})
		_, err := a.tw.Write(b)
		check(err)
	}
	put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	put("index.json", index)
	for _, b := range [][]byte{config, manifest, packed.Bytes()} {
		put("blobs/sha256/"+strings.TrimPrefix(digest(b), "sha256:"), b)
	}
	check(a.tw.Close())
	tmp := filepath.Join(filepath.Dir(*out), "."+filepath.Base(*out)+".tmp")
	check(os.WriteFile(tmp, archive.Bytes(), 0o644))
	check(os.Rename(tmp, *out))
	fmt.Println(digest(manifest))
}
