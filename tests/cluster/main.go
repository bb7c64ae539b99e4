// Program testcluster is a Kubernetes cluster for tests in one file: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler as released, and nodes that play the kubelet. It needs neither Docker nor root. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"agent-launchpad.dev/testcluster/internal/controlplane"
)

func main() {
	controlplane.RunComponent(os.Args)
	options, err := parseOptions(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(2)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		cancel(fmt.Errorf("%s", <-signals))
	}()
	if !options.detached {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel(errors.New("standard input ended"))
		}()
	}
	if err := run(ctx, cancel, options); err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cancel context.CancelCauseFunc, options *options) error {
	started := time.Now()
	cluster, err := start(ctx, cancel, options)
	if err != nil {
		return err
	}
	defer cluster.close()
	waiting, stopWaiting := context.WithTimeoutCause(ctx, options.startTimeout, errors.New("not ready in time"))
	err = cluster.waitReady(waiting)
	stopWaiting()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, cluster.lastWords())
	}
	line, err := json.Marshal(cluster.describe(time.Since(started)))
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	<-ctx.Done()
	if cause := context.Cause(ctx); errors.Is(cause, errComponent) {
		return fmt.Errorf("%w\n%s", cause, cluster.lastWords())
	}
	return nil
}
