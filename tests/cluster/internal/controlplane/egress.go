package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// Dial opens a connection to an address of the cluster's own network: a pod, a kubelet, a service.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// Egress is how the API server reaches the cluster's network (--egress-selector-config-file): it asks this
// unix socket with HTTP CONNECT. Pods and nodes have addresses that exist nowhere but here, so nothing has to be
// configured on the machine and two clusters never meet.
type Egress struct {
	listener net.Listener
	config   string
}

// StartEgress listens in socketDir and passes connections to what dial opens.
func StartEgress(socketDir string, dial Dial) (*Egress, error) {
	path := filepath.Join(socketDir, "egress.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(socketDir, "egress.yaml")
	content := fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: %s
`, path)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	e := &Egress{listener: listener, config: config}
	go func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go serveConnect(conn, dial)
			}
		}
	}()
	return e, nil
}

// Close stops listening.
func (e *Egress) Close() { e.listener.Close() }

func serveConnect(conn net.Conn, dial Dial) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil || request.Method != http.MethodConnect {
		return
	}
	far, err := dial(context.Background(), request.RequestURI)
	if err != nil {
		// The API server shows this status line to the caller.
		fmt.Fprintf(conn, "HTTP/1.1 502 %s\r\n\r\n", err)
		return
	}
	defer far.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		defer far.Close()
		pipe(far, reader)
	}()
	pipe(conn, far)
}

func pipe(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
