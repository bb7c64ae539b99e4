package node

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const metricsVersion = "metrics.k8s.io/v1beta1"

// metricsAPI is metrics.k8s.io as metrics-server serves it, from figures measured here: what processes use, and what
// pretended containers pretend to use.
func (f *Fleet) metricsAPI() http.Handler {
	mux := http.NewServeMux()
	base := "GET /apis/" + metricsVersion
	verbs := metav1.Verbs{"get", "list"}
	mux.HandleFunc(base, func(w http.ResponseWriter, _ *http.Request) {
		send(w, &metav1.APIResourceList{
			TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
			GroupVersion: metricsVersion,
			APIResources: []metav1.APIResource{
				{Name: "nodes", Kind: "NodeMetrics", Verbs: verbs},
				{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: verbs},
			},
		})
	})
	mux.HandleFunc(base+"/pods", f.listPodMetrics)
	mux.HandleFunc(base+"/namespaces/{namespace}/pods", f.listPodMetrics)
	mux.HandleFunc(base+"/namespaces/{namespace}/pods/{name}", func(w http.ResponseWriter, r *http.Request) {
		if worker := f.find(r.PathValue("namespace"), r.PathValue("name")); worker != nil {
			if metrics := worker.podMetrics(); metrics != nil {
				send(w, metrics)
				return
			}
		}
		notFound(w, "pods.metrics.k8s.io", r.PathValue("name"))
	})
	mux.HandleFunc(base+"/nodes", func(w http.ResponseWriter, r *http.Request) {
		list := &metricsv1beta1.NodeMetricsList{TypeMeta: metav1.TypeMeta{Kind: "NodeMetricsList", APIVersion: metricsVersion}}
		for i := range f.options.Specs {
			list.Items = append(list.Items, *f.nodeMetrics(&f.options.Specs[i]))
		}
		send(w, list)
	})
	mux.HandleFunc(base+"/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		if spec := f.spec(r.PathValue("name")); spec != nil {
			send(w, f.nodeMetrics(spec))
			return
		}
		notFound(w, "nodes.metrics.k8s.io", r.PathValue("name"))
	})
	return mux
}

func (f *Fleet) listPodMetrics(w http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	namespace := r.PathValue("namespace")
	list := &metricsv1beta1.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: metricsVersion}, Items: []metricsv1beta1.PodMetrics{}}
	for _, worker := range f.all() {
		metrics := worker.podMetrics()
		if metrics != nil && (namespace == "" || metrics.Namespace == namespace) && selector.Matches(labels.Set(metrics.Labels)) {
			list.Items = append(list.Items, *metrics)
		}
	}
	slices.SortFunc(list.Items, func(a, b metricsv1beta1.PodMetrics) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	send(w, list)
}

// podMetrics is nil while nothing of the pod runs.
func (w *worker) podMetrics() *metricsv1beta1.PodMetrics {
	used := w.usage()
	if len(used) == 0 {
		return nil
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	metrics := &metricsv1beta1.PodMetrics{
		TypeMeta:   metav1.TypeMeta{Kind: "PodMetrics", APIVersion: metricsVersion},
		ObjectMeta: metav1.ObjectMeta{Name: w.pod.Name, Namespace: w.pod.Namespace, Labels: w.pod.Labels, CreationTimestamp: metav1.Now()},
	}
	for _, c := range w.containers {
		u, ok := used[c.spec.Name]
		if !ok {
			continue
		}
		metrics.Timestamp, metrics.Window = metav1.NewTime(u.at), metav1.Duration{Duration: u.window.Round(time.Millisecond)}
		metrics.Containers = append(metrics.Containers, metricsv1beta1.ContainerMetrics{Name: c.spec.Name, Usage: resources(u)})
	}
	return metrics
}

// nodeMetrics adds up the pods of a node.
func (f *Fleet) nodeMetrics(spec *Spec) *metricsv1beta1.NodeMetrics {
	var total usage
	for _, worker := range f.all() {
		if worker.node == spec {
			for _, u := range worker.usage() {
				total.cpu += u.cpu
				total.memory += u.memory
			}
		}
	}
	return &metricsv1beta1.NodeMetrics{
		TypeMeta:   metav1.TypeMeta{Kind: "NodeMetrics", APIVersion: metricsVersion},
		ObjectMeta: metav1.ObjectMeta{Name: spec.Name, CreationTimestamp: metav1.Now()},
		Timestamp:  metav1.Now(),
		Window:     metav1.Duration{Duration: sampleEvery},
		Usage:      resources(total),
	}
}

func resources(u usage) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(u.cpu*1e9), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(u.memory, resource.BinarySI),
	}
}

func send(w http.ResponseWriter, object any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(object)
}

func notFound(w http.ResponseWriter, kind, name string) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound,
		Message: kind + " \"" + name + "\" not found",
	})
}
