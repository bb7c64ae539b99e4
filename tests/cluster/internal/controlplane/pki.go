package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// PKI names the key material of one cluster: files below one folder, made once and found again after a restart.
type PKI struct{ dir string }

type identity struct {
	name          string // file name, without ending
	commonName    string
	organizations []string
	ips           []net.IP
	names         []string
	ca            string
}

const (
	clusterCA    = "ca"
	frontProxyCA = "front-proxy-ca"
)

// MakePKI creates the authorities, certificates and keys of a cluster in dir, or takes those that are there.
// Keys are ECDSA: they take no time to make.
func MakePKI(dir string, nodeIPs []net.IP) (*PKI, error) {
	pki := &PKI{dir: dir}
	if _, err := os.Stat(pki.File("complete")); err == nil {
		return pki, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, ca := range []string{clusterCA, frontProxyCA} {
		if err := pki.authority(ca); err != nil {
			return nil, err
		}
	}
	loopback := net.IPv4(127, 0, 0, 1)
	kubernetes := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	for _, id := range []identity{
		{name: "apiserver", commonName: "kube-apiserver", ips: []net.IP{loopback, net.ParseIP(kubernetesIP)}, names: kubernetes, ca: clusterCA},
		{name: "kubelet", commonName: "system:node:test", ips: nodeIPs, ca: clusterCA},
		{name: "proxy", commonName: "kube-apiserver", ips: []net.IP{loopback}, names: []string{"localhost"}, ca: clusterCA},
		{name: "metrics", commonName: "metrics-server", names: []string{"metrics-server.kube-system.svc"}, ca: clusterCA},
		{name: "admin", commonName: "admin", organizations: []string{"system:masters"}, ca: clusterCA},
		{name: "kubelet-client", commonName: "kube-apiserver-kubelet-client", organizations: []string{"system:masters"}, ca: clusterCA},
		{name: "controller-manager", commonName: "system:kube-controller-manager", organizations: []string{"system:masters"}, ca: clusterCA},
		{name: "scheduler", commonName: "system:kube-scheduler", ca: clusterCA},
		{name: "node", commonName: "system:node:test", organizations: []string{"system:masters"}, ca: clusterCA},
		{name: "front-proxy-client", commonName: "front-proxy-client", ca: frontProxyCA},
	} {
		if err := pki.issue(id); err != nil {
			return nil, err
		}
	}
	if err := pki.key("service-account"); err != nil {
		return nil, err
	}
	return pki, os.WriteFile(pki.File("complete"), nil, 0o600)
}

// File is the path of a file of the key material.
func (p *PKI) File(name string) string { return filepath.Join(p.dir, name) }

// CAFile is the certificate of the authority that signs everything but the aggregation layer's client.
func (p *PKI) CAFile() string { return p.File(clusterCA + ".crt") }

// WriteKubeconfig writes a kubeconfig for one identity, self-contained so that it can be copied.
func (p *PKI) WriteKubeconfig(path, user, server string) error {
	var data [3][]byte
	for i, file := range []string{p.CAFile(), p.File(user + ".crt"), p.File(user + ".key")} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[i] = content
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: data[0]}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: data[1], ClientKeyData: data[2]}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: user}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, path)
}

func (p *PKI) key(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(p.File(name+".pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return p.writeKey(name, key)
}

func (p *PKI) authority(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if err := writePEM(p.File(name+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return p.writeKey(name, key)
}

func (p *PKI) issue(id identity) error {
	caCert, caKey, err := p.load(id.ca)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.commonName, Organization: id.organizations},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses:  id.ips,
		DNSNames:     id.names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	if err := writePEM(p.File(id.name+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return p.writeKey(id.name, key)
}

func (p *PKI) load(ca string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := readPEM(p.File(ca + ".crt"))
	if err != nil {
		return nil, nil, err
	}
	key, err := readPEM(p.File(ca + ".key"))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.ParseECPrivateKey(key)
	return parsed, private, err
}

func (p *PKI) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(p.File(name+".key"), "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func readPEM(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block.Bytes, nil
}
