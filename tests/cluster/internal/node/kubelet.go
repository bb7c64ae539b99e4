package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	criapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crilogs "k8s.io/cri-client/pkg/logs"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // how a query becomes PodLogOptions
)

// kubeletAPI is the part of the kubelet's API that the API server needs: containerLogs and portForward. The logs are files as a
// container runtime writes them, read by the kubelet's own code.
func (f *Fleet) kubeletAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", f.containerLogs)
	mux.HandleFunc("/portForward/{namespace}/{pod}", f.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", f.portForward)
	return mux
}

func (f *Fleet) containerLogs(response http.ResponseWriter, request *http.Request) {
	options := &corev1.PodLogOptions{}
	if err := legacyscheme.ParameterCodec.DecodeParameters(request.URL.Query(), corev1.SchemeGroupVersion, options); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	namespace, pod, name := request.PathValue("namespace"), request.PathValue("pod"), request.PathValue("container")
	w := f.find(namespace, pod)
	if w == nil {
		http.Error(response, fmt.Sprintf("pod %q does not exist", pod), http.StatusNotFound)
		return
	}
	path, id, err := w.logOf(name, options.Previous)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	var stdout, stderr io.Writer = flushing{response}, flushing{response}
	if options.Stream != nil && *options.Stream == corev1.LogStreamStdout {
		stderr = nil
	}
	if options.Stream != nil && *options.Stream == corev1.LogStreamStderr {
		stdout = nil
	}
	// As with the kubelet, the head goes out with the first line.
	response.Header().Set("content-type", "text/plain")
	err = crilogs.ReadLogs(request.Context(), path, id, readerOptions(options), stillRunning{worker: w}, stdout, stderr)
	if err != nil && request.Context().Err() == nil {
		fmt.Fprintf(response, "failed to read the log: %v\n", err)
	}
}

func readerOptions(options *corev1.PodLogOptions) *crilogs.LogOptions {
	result := &crilogs.LogOptions{
		TailLines: options.TailLines, LimitBytes: options.LimitBytes, Follow: options.Follow, Timestamp: options.Timestamps,
	}
	if options.SinceSeconds != nil {
		result.Since = time.Now().Add(-time.Duration(*options.SinceSeconds) * time.Second)
	}
	if options.SinceTime != nil {
		result.Since = options.SinceTime.Time
	}
	return result
}

// logOf finds the log file of a container's current or previous run.
func (w *worker) logOf(name string, previous bool) (path, id string, err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, c := range w.containers {
		if c.spec.Name != name {
			continue
		}
		attempt := c.attempt
		if previous {
			attempt--
		}
		switch {
		case previous && (attempt < 0 || c.last.Terminated == nil):
			return "", "", fmt.Errorf("previous terminated container %q in pod %q not found", name, w.pod.Name)
		case !c.once:
			return "", "", fmt.Errorf("container %q in pod %q is waiting to start: %s", name, w.pod.Name, c.state.Waiting.Reason)
		}
		return w.logFile(name, attempt), containerID(w.pod, name, attempt), nil
	}
	return "", "", fmt.Errorf("container %q not found in pod %q", name, w.pod.Name)
}

// stillRunning answers the reader's one question to a container runtime: does the container still run?
type stillRunning struct {
	criapi.RuntimeService
	worker *worker
}

func (s stillRunning) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	state := runtimeapi.ContainerState_CONTAINER_EXITED
	s.worker.mutex.Lock()
	defer s.worker.mutex.Unlock()
	for _, c := range s.worker.containers {
		if c.run != nil && containerID(s.worker.pod, c.spec.Name, c.attempt) == id {
			state = runtimeapi.ContainerState_CONTAINER_RUNNING
		}
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{Id: id, State: state}}, nil
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(data []byte) (int, error) {
	n, err := f.ResponseWriter.Write(data)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}
