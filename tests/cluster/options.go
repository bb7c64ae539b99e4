package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"agent-launchpad.dev/testcluster/internal/node"
)

// options are the command line.
type options struct {
	dataDir       string
	runDir        string
	port          int
	etcdDelay     time.Duration
	startTimeout  time.Duration
	detached      bool
	nodes         []node.Spec
	images        map[string]node.Image
	pretendDelay  time.Duration
	backoff       time.Duration
	maxBackoff    time.Duration
	apiServer     list
	controllerMgr list
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func parseOptions(args []string) (*options, error) {
	o := &options{}
	var nodes, images string
	flags := flag.NewFlagSet("testcluster", flag.ContinueOnError)
	flags.StringVar(&o.dataDir, "data-dir", "", "folder for etcd, keys, logs and the files of pods, kept; without it a temporary one, removed at the end")
	flags.StringVar(&o.runDir, "run-dir", "", "folder of sockets, emptied at the start; its path must be short; default: a temporary one")
	flags.IntVar(&o.port, "port", 0, "loopback port of the API server; 0 is any")
	flags.DurationVar(&o.etcdDelay, "etcd-delay", 0, "hold back each answer of etcd by this long")
	flags.DurationVar(&o.startTimeout, "start-timeout", 2*time.Minute, "give up when not ready by then")
	flags.BoolVar(&o.detached, "detached", false, "go on when standard input ends")
	flags.StringVar(&nodes, "nodes", "", `JSON, e.g. [{"name":"node-a","zone":"zone-a","cpu":"16","memory":"64Gi","pods":500}]; default: three nodes in three zones`)
	flags.StringVar(&images, "images", "", `JSON: images that run as processes, e.g. {"example/agent":{"command":["node","main.ts"],"cwd":"/repo"}}; all others are pretended`)
	flags.DurationVar(&o.pretendDelay, "pretend-delay", 50*time.Millisecond, "a pretended container starts after this long")
	flags.DurationVar(&o.backoff, "backoff", 500*time.Millisecond, "first pause before a container or an image is tried again; doubles (kubelet: 10s)")
	flags.DurationVar(&o.maxBackoff, "max-backoff", 10*time.Second, "longest such pause (kubelet: 5m)")
	flags.Var(&o.apiServer, "api-server-flag", "a further flag of kube-apiserver; may be repeated")
	flags.Var(&o.controllerMgr, "controller-manager-flag", "a further flag of kube-controller-manager; may be repeated")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if nodes == "" {
		for _, letter := range []string{"a", "b", "c"} {
			o.nodes = append(o.nodes, node.Spec{Name: "node-" + letter, Zone: "zone-" + letter})
		}
	} else if err := json.Unmarshal([]byte(nodes), &o.nodes); err != nil {
		return nil, fmt.Errorf("--nodes: %w", err)
	}
	if images != "" {
		if err := json.Unmarshal([]byte(images), &o.images); err != nil {
			return nil, fmt.Errorf("--images: %w", err)
		}
	}
	if o.port == 0 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		o.port = port
	}
	return o, nil
}

// freePort finds a port below the range from which the system takes ports of outgoing connections:
// the API server may be down for a while and must find its port again.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("found no free port")
}
