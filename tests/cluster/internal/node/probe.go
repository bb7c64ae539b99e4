package node

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
	tcpprobe "k8s.io/kubernetes/pkg/probe/tcp"
)

type probeKind string

const (
	startup   probeKind = "Startup"
	readiness probeKind = "Readiness"
	liveness  probeKind = "Liveness"
)

// asking asks a container once.
type asking func(kind probeKind, spec *corev1.Probe) (ok bool, output string)

// verdict is what a probe concludes after its thresholds, or one failure on the way there (decided is false).
type verdict struct {
	kind    probeKind
	ok      bool
	decided bool
	output  string
}

// watchProbes asks as the probes of a container say, from its start until ctx ends: first the startup probe until it
// succeeds, then readiness and liveness. `hasty` leaves out the initial delays (pretended containers).
func watchProbes(ctx context.Context, container *corev1.Container, ask asking, hasty bool, tell func(verdict)) {
	if container.StartupProbe != nil {
		if !repeat(ctx, startup, container.StartupProbe, ask, hasty, tell, true) {
			return
		}
	} else {
		tell(verdict{kind: startup, ok: true, decided: true})
	}
	if container.ReadinessProbe != nil {
		go repeat(ctx, readiness, container.ReadinessProbe, ask, hasty, tell, false)
	} else {
		tell(verdict{kind: readiness, ok: true, decided: true})
	}
	if container.LivenessProbe != nil {
		repeat(ctx, liveness, container.LivenessProbe, ask, hasty, tell, false)
	}
}

// repeat runs one probe; with untilOK it returns at the first success (true).
func repeat(ctx context.Context, kind probeKind, spec *corev1.Probe, ask asking, hasty bool, tell func(verdict), untilOK bool) bool {
	if !hasty && !pause(ctx, time.Duration(spec.InitialDelaySeconds)*time.Second) {
		return false
	}
	period := time.Duration(max(spec.PeriodSeconds, 1)) * time.Second
	var run int32
	last, known := false, false
	for {
		ok, output := ask(kind, spec)
		if ctx.Err() != nil {
			return false
		}
		if run > 0 && ok == last {
			run++
		} else {
			run, last = 1, ok
		}
		threshold := max(spec.FailureThreshold, 1)
		if ok {
			threshold = max(spec.SuccessThreshold, 1)
		}
		if !ok || run == threshold {
			decided := run >= threshold
			tell(verdict{kind: kind, ok: ok, decided: decided, output: output})
			known = known || decided
			if decided && ok && untilOK {
				return true
			}
		}
		wait := period
		// A container that is not ready yet is asked again soon, as the kubelet does after it has started.
		if hasty && !ok && !known {
			wait = min(period, time.Second)
		}
		if !pause(ctx, wait) {
			return false
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// askAddress probes a process that listens at host, with the kubelet's own code.
func askAddress(container *corev1.Container, host string) asking {
	http, tcp := httpprobe.New(false), tcpprobe.New()
	return func(_ probeKind, spec *corev1.Probe) (bool, string) {
		timeout := time.Duration(max(spec.TimeoutSeconds, 1)) * time.Second
		var result probe.Result
		var output string
		var err error
		switch {
		case spec.HTTPGet != nil:
			request, failed := httpprobe.NewRequestForHTTPGetAction(spec.HTTPGet, container, host, "probe")
			if failed != nil {
				return false, failed.Error()
			}
			result, output, err = http.Probe(request, timeout)
		case spec.TCPSocket != nil:
			port, failed := resolvePort(spec.TCPSocket.Port, container)
			if failed != nil {
				return false, failed.Error()
			}
			result, output, err = tcp.Probe(host, port, timeout)
		default:
			return false, "the test node knows only httpGet and tcpSocket probes"
		}
		if err != nil {
			return false, err.Error()
		}
		return result == probe.Success || result == probe.Warning, output
	}
}

func resolvePort(port intstr.IntOrString, container *corev1.Container) (int, error) {
	if port.Type == intstr.Int {
		return port.IntValue(), nil
	}
	for _, p := range container.Ports {
		if p.Name == port.StrVal {
			return int(p.ContainerPort), nil
		}
	}
	if number, err := strconv.Atoi(port.StrVal); err == nil {
		return number, nil
	}
	return 0, fmt.Errorf("couldn't find port: %q", port.StrVal)
}
