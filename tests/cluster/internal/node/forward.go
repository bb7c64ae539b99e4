package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

const (
	forwardIdle    = 4 * time.Hour // as the kubelet's
	forwardStreams = 30 * time.Second
)

// portForward joins ports of a pod to the streams of a client (`kubectl port-forward`), with the kubelet's own code.
func (f *Fleet) portForward(response http.ResponseWriter, request *http.Request) {
	w := f.find(request.PathValue("namespace"), request.PathValue("pod"))
	if w == nil {
		http.Error(response, "pod does not exist", http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(response, request, forwarder{w}, request.PathValue("pod"), string(w.uid), options, forwardIdle, forwardStreams, portforward.SupportedProtocols)
}

type forwarder struct{ worker *worker }

// PortForward copies until either side ends.
func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := f.worker.dial(ctx, fmt.Sprint(port))
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(stream, conn)
	return err
}
