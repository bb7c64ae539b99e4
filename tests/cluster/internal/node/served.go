package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

// served is an HTTP server without a port: connections are handed to it inside this program.
type served struct {
	listener *handed
	server   *http.Server
}

func serve(handler http.Handler, config *tls.Config) *served {
	listener := &handed{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &served{listener: listener, server: &http.Server{
		Handler:   handler,
		TLSConfig: config,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if of, ok := conn.(podConn); ok {
				return context.WithValue(ctx, workerKey{}, of.worker)
			}
			return ctx
		},
	}}
	go func() {
		if config != nil {
			_ = s.server.ServeTLS(listener, "", "")
		} else {
			_ = s.server.Serve(listener)
		}
	}()
	return s
}

// connect opens a connection to the server; wrap may mark the server's end.
func (s *served) connect(wrap func(net.Conn) net.Conn) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case s.listener.conns <- wrap(far):
		return near, nil
	case <-s.listener.closed:
		return nil, net.ErrClosed
	}
}

func (s *served) close() {
	s.listener.Close()
	s.server.Close()
}

type handed struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handed) Addr() net.Addr { return &net.UnixAddr{Name: "handed", Net: "unix"} }

func plain(conn net.Conn) net.Conn { return conn }

// Listen makes the kubelet API and the metrics API ready for the connections that Dial passes to them.
// The two names are of a key pair each, without the endings .crt and .key.
func (f *Fleet) Listen(kubelet, metrics, caFile, metricsIP string) error {
	kubeletPair, err := tls.LoadX509KeyPair(kubelet+".crt", kubelet+".key")
	if err != nil {
		return err
	}
	metricsPair, err := tls.LoadX509KeyPair(metrics+".crt", metrics+".key")
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("the authority's file holds no certificate")
	}
	f.kubelet = serve(f.kubeletAPI(), &tls.Config{
		Certificates: []tls.Certificate{kubeletPair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	f.metrics = serve(f.metricsAPI(), &tls.Config{Certificates: []tls.Certificate{metricsPair}})
	f.metricsAddress = net.JoinHostPort(metricsIP, "443")
	return nil
}

// Dial connects to an address of the cluster's network: a kubelet, the metrics service or a pod.
func (f *Fleet) Dial(ctx context.Context, address string) (net.Conn, error) {
	if address == f.metricsAddress {
		return f.metrics.connect(plain)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for i := range f.options.Specs {
		if f.options.Specs[i].ip.String() == host && port == fmt.Sprint(KubeletPort) {
			return f.kubelet.connect(plain)
		}
	}
	if w := f.network.worker(host); w != nil {
		return w.dial(ctx, port)
	}
	return nil, fmt.Errorf("no route to host %s", host)
}

type workerKey struct{}

type podConn struct {
	net.Conn
	worker *worker
}
