package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"agent-launchpad.dev/testcluster/internal/controlplane"
	"agent-launchpad.dev/testcluster/internal/node"
)

// control lets a test change things while the cluster runs: HTTP with JSON over a unix socket, for example
//
//	curl --unix-socket $control http://c/etcd-delay -X PUT -d '{"ms":200}'
type control struct {
	path   string
	server *http.Server
}

func startControl(c *cluster) (*control, error) {
	path := filepath.Join(c.layout.SocketDir, "control.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle(mux, "PUT /etcd-delay", func(in struct{ Ms int64 }) error {
		c.layout.Etcd.SetDelay(time.Duration(in.Ms) * time.Millisecond)
		return nil
	})
	handle(mux, "PUT /rules", func(in struct{ Rules []node.Rule }) error { return c.fleet.SetRules(in.Rules) })
	handle(mux, "PUT /away", func(in struct{ Nodes []string }) error { return c.fleet.SetAway(in.Nodes) })
	handle(mux, "POST /crash", func(in struct {
		Namespace, Pod, Container, Message string
		ExitCode                           int32
	}) error {
		return c.fleet.Crash(in.Namespace, in.Pod, in.Container, in.ExitCode, in.Message)
	})
	handle(mux, "POST /component", func(in struct{ Name, Action string }) error { return c.componentAction(in.Name, in.Action) })
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"pods": c.fleet.State(), "pids": c.pids()})
	})
	control := &control{path: path, server: &http.Server{Handler: mux}}
	go func() { _ = control.server.Serve(listener) }()
	return control, nil
}

func (c *control) close() { c.server.Close() }

// handle answers 204, or 400 with the error's text. Unknown fields are errors.
func handle[T any](mux *http.ServeMux, pattern string, act func(T) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in T
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&in)
		if err == nil {
			err = act(in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (c *cluster) components() map[string]*controlplane.Component {
	return map[string]*controlplane.Component{
		"kube-apiserver": c.apiServer, "kube-controller-manager": c.manager, "kube-scheduler": c.scheduler,
	}
}

// componentAction stops (SIGTERM), kills, starts, freezes or thaws a component.
func (c *cluster) componentAction(name, action string) error {
	component := c.components()[name]
	if component == nil {
		return fmt.Errorf("no component %q", name)
	}
	switch action {
	case "start":
		return component.Start()
	case "stop":
		component.Stop(syscall.SIGTERM, 10*time.Second)
		return nil
	case "kill":
		component.Stop(syscall.SIGKILL, time.Second)
		return nil
	case "freeze":
		return component.Signal(syscall.SIGSTOP)
	case "thaw":
		return component.Signal(syscall.SIGCONT)
	}
	return errors.New(`action must be start, stop, kill, freeze or thaw`)
}

func (c *cluster) pids() map[string]int {
	result := map[string]int{}
	for name, component := range c.components() {
		result[name] = component.Pid()
	}
	return result
}
