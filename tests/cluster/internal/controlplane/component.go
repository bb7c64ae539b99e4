package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// The components of Kubernetes are linked into this binary and run as children of it: their packages keep global
// state that does not tolerate a neighbour, and a child can be killed and started like the real thing.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          func() *cobra.Command { return apiserver.NewAPIServerCommand() },
	"kube-controller-manager": func() *cobra.Command { return controllermanager.NewControllerManagerCommand() },
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

// RunComponent becomes a component of Kubernetes when the arguments say so; otherwise it returns at once.
func RunComponent(args []string) {
	if len(args) < 2 {
		return
	}
	command, ok := components[args[1]]
	if !ok {
		return
	}
	// Standard input is a pipe that the parent never writes: its end means that the parent is gone.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	os.Args = args[1:]
	os.Exit(cli.Run(command()))
}

// Component is one child: kube-apiserver, kube-controller-manager or kube-scheduler.
type Component struct {
	name    string
	args    []string
	logFile string
	onExit  func(name string, err error)

	mutex    sync.Mutex
	command  *exec.Cmd
	lifeline io.Closer
	ended    chan struct{}
}

// NewComponent describes a child; onExit is told when it ends without having been asked to.
func NewComponent(name, logDir string, args []string, onExit func(name string, err error)) *Component {
	return &Component{name: name, args: args, logFile: filepath.Join(logDir, name+".log"), onExit: onExit}
}

// Start runs the child; it is an error if it runs already.
func (c *Component) Start() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.command != nil {
		return fmt.Errorf("%s runs already", c.name)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(self, append([]string{c.name}, c.args...)...)
	command.Stdout, command.Stderr = log, log
	// A signal for the terminal's foreground group is meant for the parent, which ends its children in order.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	c.command, c.lifeline, c.ended = command, lifeline, ended
	go func() {
		err := command.Wait()
		c.mutex.Lock()
		asked := c.command != command
		if !asked {
			c.command = nil
		}
		c.mutex.Unlock()
		close(ended)
		if !asked {
			c.onExit(c.name, err)
		}
	}()
	return nil
}

// Stop sends the child a signal and waits until it has ended; SIGKILL follows after `patience`.
func (c *Component) Stop(signal syscall.Signal, patience time.Duration) {
	c.mutex.Lock()
	command, ended, lifeline := c.command, c.ended, c.lifeline
	c.command = nil
	c.mutex.Unlock()
	if command == nil {
		return
	}
	defer lifeline.Close()
	_ = command.Process.Signal(signal)
	select {
	case <-ended:
	case <-time.After(patience):
		_ = command.Process.Kill()
		<-ended
	}
}

// Signal passes a signal on: SIGSTOP freezes the child, SIGCONT lets it go on.
func (c *Component) Signal(signal syscall.Signal) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.command == nil {
		return errors.New(c.name + " does not run")
	}
	return c.command.Process.Signal(signal)
}

// Pid is the child's process id, 0 when it does not run.
func (c *Component) Pid() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.command == nil {
		return 0
	}
	return c.command.Process.Pid
}

// LastWords are the last lines of the child's log: what it said before it ended.
func (c *Component) LastWords(lines int) string {
	content, err := os.ReadFile(c.logFile)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// WaitFor polls until check is content, the context ends, or a component that it needs is gone.
func WaitFor(ctx context.Context, every time.Duration, what string, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last: %v)", what, context.Cause(ctx), err)
		case <-time.After(every):
		}
	}
}
