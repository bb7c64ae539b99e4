// Package node plays the kubelet for the pods of a test cluster: it registers nodes, runs what is scheduled to them
// (pretended or as processes), reports their status, serves their logs and metrics.
package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

const (
	heartbeatEvery = 10 * time.Second
	leaseSeconds   = 40
)

// Spec describes one node.
type Spec struct {
	Name   string            `json:"name"`
	Zone   string            `json:"zone"`
	CPU    string            `json:"cpu,omitempty"`    // 64
	Memory string            `json:"memory,omitempty"` // 256Gi
	Pods   int64             `json:"pods,omitempty"`   // 1000
	Labels map[string]string `json:"labels,omitempty"`
	ip     net.IP
}

// Options of a Fleet.
type Options struct {
	Specs        []Spec
	Dir          string           // files of the pods
	Images       map[string]Image // what runs as a process
	PretendDelay time.Duration
	Backoff      time.Duration
	MaxBackoff   time.Duration
}

// Fleet is all nodes of the cluster.
type Fleet struct {
	options Options
	rules   *rules
	network *network
	ctx     context.Context
	cancel  context.CancelFunc
	client  kubernetes.Interface
	events  record.EventRecorder
	stop    []func()

	kubelet         *served
	metrics         *served
	metricsAddress  string
	pretendedServer *pretendedServer

	pods cache.Store // as the API server tells them

	mutex   sync.Mutex
	away    map[string]bool // nodes that neither hear the API server nor tell it anything
	workers map[types.UID]*worker
	byName  map[string]*worker
}

// NewFleet prepares the nodes; Listen and Start make them work.
func NewFleet(options Options) (*Fleet, error) {
	network, err := newNetwork()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &Fleet{
		options: options, rules: newRules(), network: network, ctx: ctx, cancel: cancel,
		away: map[string]bool{}, workers: map[types.UID]*worker{}, byName: map[string]*worker{}, pretendedServer: newPretendedServer(),
	}
	for i := range f.options.Specs {
		spec := &f.options.Specs[i]
		spec.ip = net.IPv4(10, 1, byte(i/250), byte(i%250+1)).To4()
		if spec.CPU == "" {
			spec.CPU = "64"
		}
		if spec.Memory == "" {
			spec.Memory = "256Gi"
		}
		if spec.Pods == 0 {
			spec.Pods = 1000
		}
		for _, quantity := range []string{spec.CPU, spec.Memory} {
			if _, err := resource.ParseQuantity(quantity); err != nil {
				return nil, fmt.Errorf("node %s: %q: %w", spec.Name, quantity, err)
			}
		}
	}
	return f, os.MkdirAll(options.Dir, 0o700)
}

// NodeIPs are the addresses of the nodes in the cluster's network.
func (f *Fleet) NodeIPs() []net.IP {
	var ips []net.IP
	for i := range f.options.Specs {
		ips = append(ips, f.options.Specs[i].ip)
	}
	return ips
}

// SetRules gives pods behaviours from now on, in place of the rules before.
func (f *Fleet) SetRules(rules []Rule) error { return f.rules.set(rules) }

// Start registers the nodes, keeps them alive, and runs the pods scheduled to them.
func (f *Fleet) Start(ctx context.Context, client kubernetes.Interface) error {
	f.client = client
	broadcaster := record.NewBroadcaster(record.WithContext(f.ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	f.stop = append(f.stop, broadcaster.Shutdown)
	f.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet"})
	for i := range f.options.Specs {
		if err := f.register(ctx, &f.options.Specs[i]); err != nil {
			return err
		}
	}
	go f.heartbeat()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	}))
	informer := factory.Core().V1().Pods().Informer()
	f.pods = informer.GetStore()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { f.seen(object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { f.seen(object.(*corev1.Pod)) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			f.removed(object.(*corev1.Pod))
		},
	})
	if err != nil {
		return err
	}
	factory.Start(f.ctx.Done())
	go func() {
		if cache.WaitForCacheSync(f.ctx.Done(), informer.HasSynced) {
			f.forget(informer.GetStore())
		}
	}()
	return nil
}

// forget removes the files of pods that went while this program was away.
func (f *Fleet) forget(pods cache.Store) {
	known := map[string]bool{}
	for _, object := range pods.List() {
		known[string(object.(*corev1.Pod).UID)] = true
	}
	entries, _ := os.ReadDir(f.options.Dir)
	for _, entry := range entries {
		f.mutex.Lock()
		if f.workers[types.UID(entry.Name())] == nil && !known[entry.Name()] {
			os.RemoveAll(filepath.Join(f.options.Dir, entry.Name()))
		}
		f.mutex.Unlock()
	}
}

func (f *Fleet) spec(name string) *Spec {
	for i := range f.options.Specs {
		if f.options.Specs[i].Name == name {
			return &f.options.Specs[i]
		}
	}
	return nil
}

func (f *Fleet) seen(pod *corev1.Pod) {
	spec := f.spec(pod.Spec.NodeName)
	if spec == nil {
		return
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.ctx.Err() != nil || f.away[spec.Name] {
		return
	}
	if existing := f.workers[pod.UID]; existing != nil {
		existing.seen(pod)
		return
	}
	w := newWorker(f, spec, pod)
	f.workers[pod.UID] = w
	f.byName[pod.Namespace+"/"+pod.Name] = w
	go func() {
		w.loop()
		f.mutex.Lock()
		defer f.mutex.Unlock()
		delete(f.workers, w.uid)
		if name := pod.Namespace + "/" + pod.Name; f.byName[name] == w {
			delete(f.byName, name)
		}
	}()
}

func (f *Fleet) removed(pod *corev1.Pod) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if w := f.workers[pod.UID]; w != nil && !f.away[w.node.Name] {
		w.wasRemoved()
	}
}

// SetAway cuts these nodes off, and no others: their pods run on, but their heartbeats and statuses do not arrive, and they learn of
// no change. A node that is back tells at once what it has.
func (f *Fleet) SetAway(names []string) error {
	next := map[string]bool{}
	for _, name := range names {
		if f.spec(name) == nil {
			return fmt.Errorf("no node %q", name)
		}
		next[name] = true
	}
	f.mutex.Lock()
	before := f.away
	f.away = next
	f.mutex.Unlock()
	for name := range before {
		if !next[name] {
			f.comeBack(f.spec(name))
		}
	}
	return nil
}

func (f *Fleet) isAway(name string) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.away[name]
}

// comeBack lists what the node missed, as a kubelet does.
func (f *Fleet) comeBack(spec *Spec) {
	f.beat(spec)
	there := map[types.UID]bool{}
	for _, object := range f.pods.List() {
		if pod := object.(*corev1.Pod); pod.Spec.NodeName == spec.Name {
			there[pod.UID] = true
			f.seen(pod)
		}
	}
	for _, w := range f.all() {
		if w.node == spec && !there[w.uid] {
			w.wasRemoved()
		}
	}
}

func (f *Fleet) find(namespace, name string) *worker {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.byName[namespace+"/"+name]
}

func (f *Fleet) all() []*worker {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	result := make([]*worker, 0, len(f.workers))
	for _, w := range f.workers {
		result = append(result, w)
	}
	return result
}

func (f *Fleet) event(pod *corev1.Pod, node, kind, reason, message string) {
	f.events.Event(pod, kind, reason, message)
}

// Crash ends a container of a pod as if it had failed by itself; a process is killed.
func (f *Fleet) Crash(namespace, pod, container string, code int32, message string) error {
	w := f.find(namespace, pod)
	if w == nil {
		return fmt.Errorf("no pod %s/%s runs here", namespace, pod)
	}
	return w.crash(container, exit{code: code, message: message})
}

// PodState is what the nodes know of a pod, for tests that look behind the API.
type PodState struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Node      string `json:"node"`
	IP        string `json:"ip"`
	Address   string `json:"address,omitempty"` // where its process listens on this machine
	Pids      []int  `json:"pids,omitempty"`
}

// State lists the pods that are on the nodes.
func (f *Fleet) State() []PodState {
	result := []PodState{}
	for _, w := range f.all() {
		w.mutex.Lock()
		state := PodState{Namespace: w.pod.Namespace, Name: w.pod.Name, UID: string(w.uid), Node: w.node.Name, IP: w.ip}
		for _, c := range w.containers {
			if p, ok := c.run.(*process); ok {
				state.Address = w.loopback
				state.Pids = append(state.Pids, p.command.Process.Pid)
			}
		}
		w.mutex.Unlock()
		result = append(result, state)
	}
	return result
}

// Close ends every container and removes the pods' files.
func (f *Fleet) Close() {
	workers := f.all()
	f.cancel()
	for _, w := range workers {
		<-w.done
	}
	for _, stop := range f.stop {
		stop()
	}
	f.pretendedServer.close()
	for _, s := range []*served{f.kubelet, f.metrics} {
		if s != nil {
			s.close()
		}
	}
	f.network.close()
}
