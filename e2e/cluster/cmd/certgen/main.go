// certgen writes a fresh CA, serving and client certificates, the service-account key pair and
// one kubeconfig per identity. It renews nothing: a cluster's keys live as long as the cluster.
// Invariant: private keys and kubeconfigs are mode 0600, and only "admin" is in system:masters.
//
//	certgen -dir pki -context vmimg-NAME -node node1 -ip 10.77.0.1 -svc 10.96.0.1 -server https://10.77.0.1:6443
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

var dir = flag.String("dir", "pki", "")

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func pemf(name, typ string, der []byte, mode os.FileMode) []byte {
	b := pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	if err := os.WriteFile(filepath.Join(*dir, name), b, mode); err != nil {
		log.Fatal(err)
	}
	return b
}

var caCert *x509.Certificate
var caKey crypto.Signer
var caPEM []byte

func issue(name, cn string, orgs []string, sans []string, server bool) (cert, key []byte) {
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	eku := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if server {
		eku = append(eku, x509.ExtKeyUsageServerAuth)
	}
	t := &x509.Certificate{SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: cn, Organization: orgs},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: eku}
	for _, s := range sans {
		if ip := net.ParseIP(s); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, s)
		}
	}
	der := must(x509.CreateCertificate(rand.Reader, t, caCert, k.Public(), caKey))
	return pemf(name+".crt", "CERTIFICATE", der, 0o644), pemf(name+".key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k)), 0o600)
}

func main() {
	node := flag.String("node", "node1", "")
	ip := flag.String("ip", "10.77.0.1", "")
	svc := flag.String("svc", "10.96.0.1", "")
	server := flag.String("server", "https://10.77.0.1:6443", "")
	context := flag.String("context", "cluster", "name of the context in every kubeconfig")
	flag.Parse()
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		log.Fatal(err)
	}
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "local-ca"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign}
	der := must(x509.CreateCertificate(rand.Reader, t, t, k.Public(), k))
	caCert, caKey = must(x509.ParseCertificate(der)), k
	caPEM = pemf("ca.crt", "CERTIFICATE", der, 0o644)
	pemf("ca.key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k)), 0o600)
	issue("apiserver", "kube-apiserver", nil, []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", *ip, *svc}, true)
	issue("kubelet", "system:node:"+*node, []string{"system:nodes"}, []string{*node, *ip, "127.0.0.1"}, true)
	issue("apiserver-kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil, false)
	issue("front-proxy-client", "front-proxy-client", nil, nil, false)
	sa := must(rsa.GenerateKey(rand.Reader, 2048))
	pemf("sa.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(sa), 0o600)
	pemf("sa.pub", "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(sa.Public())), 0o644)
	b64 := base64.StdEncoding.EncodeToString
	for _, u := range []struct{ file, cn, org string }{
		{"admin", "admin", "system:masters"}, {"controller-manager", "system:kube-controller-manager", ""}, {"scheduler", "system:kube-scheduler", ""},
		{"kube-proxy", "system:kube-proxy", ""}, {"provisioner", "cluster.vmimage.dev:provisioner", ""}, {"node", "system:node:" + *node, "system:nodes"}} {
		var orgs []string
		if u.org != "" {
			orgs = []string{u.org}
		}
		c, k := issue(u.file, u.cn, orgs, nil, false)
		kc := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: %[1]s, cluster: {server: %[2]q, certificate-authority-data: %[3]s}}]
users: [{name: %[6]s, user: {client-certificate-data: %[4]s, client-key-data: %[5]s}}]
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: %[6]s}}]
current-context: %[1]s
`, *context, *server, b64(caPEM), b64(c), b64(k), u.file)
		if err := os.WriteFile(filepath.Join(*dir, u.file+".kubeconfig"), []byte(kc), 0o600); err != nil {
			log.Fatal(err)
		}
	}
}
