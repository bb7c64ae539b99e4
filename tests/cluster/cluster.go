package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"agent-launchpad.dev/testcluster/internal/controlplane"
	"agent-launchpad.dev/testcluster/internal/node"
)

var errComponent = errors.New("a component ended")

// cluster is everything that runs.
type cluster struct {
	options   *options
	layout    *controlplane.Layout
	apiServer *controlplane.Component
	manager   *controlplane.Component
	scheduler *controlplane.Component
	fleet     *node.Fleet
	client    kubernetes.Interface
	control   *control
	phases    map[string]int64 // milliseconds of the start
	cleanup   []func()
}

// start brings everything up without waiting for it to be ready. Whatever fails, close() undoes the rest.
func start(ctx context.Context, cancel context.CancelCauseFunc, options *options) (_ *cluster, err error) {
	c := &cluster{options: options, phases: map[string]int64{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	socketDir, err := makeRunDir(options.runDir)
	if err != nil {
		return nil, err
	}
	c.onClose(func() { os.RemoveAll(socketDir) })
	dataDir := options.dataDir
	if dataDir == "" {
		dataDir = filepath.Join(socketDir, "data")
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return nil, err
	}
	layout := &controlplane.Layout{DataDir: dataDir, SocketDir: socketDir, Port: options.port, Kubeconfig: map[string]string{}}
	c.layout = layout
	if err := os.MkdirAll(layout.LogDir(), 0o700); err != nil {
		return nil, err
	}

	if err := logTo(filepath.Join(layout.LogDir(), "testcluster.log")); err != nil {
		return nil, err
	}
	c.fleet, err = node.NewFleet(node.Options{
		Specs:        options.nodes,
		Dir:          filepath.Join(dataDir, "pods"),
		Images:       options.images,
		PretendDelay: options.pretendDelay,
		Backoff:      options.backoff,
		MaxBackoff:   options.maxBackoff,
	})
	if err != nil {
		return nil, err
	}
	if layout.PKI, err = controlplane.MakePKI(filepath.Join(dataDir, "pki"), c.fleet.NodeIPs()); err != nil {
		return nil, err
	}
	for _, user := range []string{"admin", "controller-manager", "scheduler", "node"} {
		path := filepath.Join(dataDir, user+".kubeconfig")
		if err := layout.PKI.WriteKubeconfig(path, user, layout.URL()); err != nil {
			return nil, err
		}
		layout.Kubeconfig[user] = path
	}
	begun := time.Now()
	if layout.Etcd, err = controlplane.StartEtcd(ctx, dataDir, socketDir, options.etcdDelay); err != nil {
		return nil, err
	}
	c.onClose(layout.Etcd.Close)
	c.phases["etcd"] = time.Since(begun).Milliseconds()
	if err := c.fleet.Listen(layout.PKI.File("kubelet"), layout.PKI.File("metrics"), layout.PKI.CAFile(), controlplane.MetricsIP); err != nil {
		return nil, err
	}
	if layout.Egress, err = controlplane.StartEgress(socketDir, c.fleet.Dial); err != nil {
		return nil, err
	}
	c.onClose(layout.Egress.Close)
	if err := c.startComponents(cancel); err != nil {
		return nil, err
	}
	if c.client, err = c.newClient("node"); err != nil {
		return nil, err
	}
	if c.control, err = startControl(c); err != nil {
		return nil, err
	}
	c.onClose(c.control.close)
	return c, nil
}

// makeRunDir makes the folder of the sockets. It is not in the data folder since paths of sockets must be short.
func makeRunDir(path string) (string, error) {
	if path == "" {
		return os.MkdirTemp("", "tc-")
	}
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o700)
}

// logTo keeps what the libraries in this process say off the terminal.
func logTo(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	klog.LogToStderr(false)
	klog.SetOutput(file)
	return nil
}

func (c *cluster) startComponents(cancel context.CancelCauseFunc) error {
	onExit := func(name string, err error) {
		cancel(fmt.Errorf("%w: %s (%v)", errComponent, name, err))
	}
	schedulerArgs, err := c.layout.SchedulerArgs()
	if err != nil {
		return err
	}
	logs := c.layout.LogDir()
	c.apiServer = controlplane.NewComponent("kube-apiserver", logs, c.layout.APIServerArgs(c.options.apiServer), onExit)
	c.manager = controlplane.NewComponent("kube-controller-manager", logs, c.layout.ControllerManagerArgs(c.options.controllerMgr), onExit)
	c.scheduler = controlplane.NewComponent("kube-scheduler", logs, schedulerArgs, onExit)
	if err := c.apiServer.Start(); err != nil {
		return err
	}
	c.onClose(func() { c.apiServer.Stop(syscall.SIGKILL, time.Second) })
	return nil
}

// waitReady returns when the API server is ready, the controllers work, every node takes pods and metrics are served.
func (c *cluster) waitReady(ctx context.Context) error {
	begun := time.Now()
	mark := func(name string) { c.phases[name] = time.Since(begun).Milliseconds() }
	poll := 25 * time.Millisecond
	err := controlplane.WaitFor(ctx, poll, "the API server did not get ready", func(ctx context.Context) error {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	mark("apiServer")
	for _, component := range []*controlplane.Component{c.manager, c.scheduler} {
		if err := component.Start(); err != nil {
			return err
		}
		c.onClose(func() { component.Stop(syscall.SIGKILL, time.Second) })
	}
	if err := c.fleet.Start(ctx, c.client); err != nil {
		return err
	}
	if err := c.serveMetrics(ctx); err != nil {
		return err
	}
	mark("nodesRegistered")
	err = controlplane.WaitFor(ctx, poll, "the controllers did not start", func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	mark("controllers")
	err = controlplane.WaitFor(ctx, poll, "the nodes did not get ready", func(ctx context.Context) error {
		nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		return allSchedulable(nodes.Items, len(c.options.nodes))
	})
	if err != nil {
		return err
	}
	mark("nodes")
	err = controlplane.WaitFor(ctx, poll, "metrics.k8s.io is not served", func(ctx context.Context) error {
		return c.client.Discovery().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").Do(ctx).Error()
	})
	mark("metrics")
	return err
}

func allSchedulable(nodes []corev1.Node, want int) error {
	if len(nodes) < want {
		return fmt.Errorf("%d of %d nodes are registered", len(nodes), want)
	}
	for _, n := range nodes {
		if len(n.Spec.Taints) > 0 {
			return fmt.Errorf("node %s has the taint %s", n.Name, n.Spec.Taints[0].Key)
		}
	}
	return nil
}

func (c *cluster) newClient(user string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.layout.Kubeconfig[user])
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.Timeout = 0
	config.UserAgent = "testcluster-" + user
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.WarningHandler = rest.NoWarnings{}
	config.Dial = (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 10 * time.Second}).DialContext
	return kubernetes.NewForConfig(config)
}

func (c *cluster) onClose(f func()) { c.cleanup = append(c.cleanup, f) }

// close ends everything, the last started first.
func (c *cluster) close() {
	// The nodes first: they must not miss the API server, and no process of a pod may outlive its node.
	if c.fleet != nil {
		c.fleet.Close()
	}
	for i := len(c.cleanup) - 1; i >= 0; i-- {
		c.cleanup[i]()
	}
	c.cleanup = nil
}

type description struct {
	Kubeconfig string           `json:"kubeconfig"`
	URL        string           `json:"url"`
	Port       int              `json:"port"`
	Control    string           `json:"control"`
	PKI        string           `json:"pki"` // ca.crt, admin.{crt,key}, and proxy.{crt,key} for a server at 127.0.0.1
	DataDir    string           `json:"dataDir"`
	Pid        int              `json:"pid"`
	ReadyMs    int64            `json:"readyMs"`
	Phases     map[string]int64 `json:"phases"`
}

func (c *cluster) describe(took time.Duration) description {
	return description{
		Kubeconfig: c.layout.Kubeconfig["admin"],
		URL:        c.layout.URL(),
		Port:       c.layout.Port,
		Control:    c.control.path,
		PKI:        filepath.Dir(c.layout.PKI.CAFile()),
		DataDir:    c.layout.DataDir,
		Pid:        os.Getpid(),
		ReadyMs:    took.Milliseconds(),
		Phases:     c.phases,
	}
}

// lastWords collects what the components logged last, for the message of a failed start.
func (c *cluster) lastWords() string {
	var text []string
	for _, component := range []*controlplane.Component{c.apiServer, c.manager, c.scheduler} {
		if component != nil {
			text = append(text, component.LastWords(8))
		}
	}
	return strings.Join(text, "\n")
}
