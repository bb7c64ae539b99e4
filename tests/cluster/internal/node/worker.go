package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// retryAfter is the pause after something failed that may work the next time (a volume, a call to the API server).
const retryAfter = 500 * time.Millisecond

// worker plays the kubelet for one pod. All of its state belongs to the goroutine of loop(); others ask through the
// mutex, which loop() holds while it works.
type worker struct {
	fleet  *Fleet
	node   *Spec
	uid    types.UID
	dir    string
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   chan struct{}

	inbox atomic.Pointer[corev1.Pod] // newest object that the watch brought
	gone  atomic.Bool                // the object was removed

	mutex       sync.Mutex
	pod         *corev1.Pod // newest object known, of the watch or of an own call
	inits       []*container // run one after the other, each to its end, before the containers
	containers  []*container
	ip          string
	loopback    string
	volumes     map[string]string
	setUpAt     time.Time
	setUp       bool
	setUpRetry  time.Time
	terminating bool
	ended       bool      // every container ended and none starts again
	removed     bool      // the API server was asked to remove it
	reportAt    time.Time // not before, after a failed call
	requests    atomic.Int64
}

func newWorker(fleet *Fleet, node *Spec, pod *corev1.Pod) *worker {
	ctx, cancel := context.WithCancel(fleet.ctx)
	w := &worker{
		fleet: fleet, node: node, uid: pod.UID, dir: filepath.Join(fleet.options.Dir, string(pod.UID)),
		ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{}),
		pod: pod.DeepCopy(), setUpAt: time.Now(),
	}
	for i := range w.pod.Spec.InitContainers {
		w.inits = append(w.inits, newContainer(&w.pod.Spec.InitContainers[i]))
	}
	for i := range w.pod.Spec.Containers {
		w.containers = append(w.containers, newContainer(&w.pod.Spec.Containers[i]))
		if len(w.inits) > 0 {
			w.containers[i].state = waiting("PodInitializing", "")
		}
	}
	w.recover()
	return w
}

// recover takes up a pod that ran before this program started, as a kubelet does: pretended containers run on,
// processes were lost and start again.
func (w *worker) recover() {
	phase := w.pod.Status.Phase
	w.ended = phase == corev1.PodSucceeded || phase == corev1.PodFailed
	for _, c := range w.all() {
		for _, status := range append(w.pod.Status.InitContainerStatuses, w.pod.Status.ContainerStatuses...) {
			if status.Name != c.spec.Name || status.ContainerID == "" {
				continue
			}
			c.attempt, c.state, c.last, c.once = status.RestartCount, status.State, status.LastTerminationState, true
		}
	}
	if len(w.pod.Status.PodIP) > 0 && !w.ended {
		w.ip, w.loopback = w.fleet.network.take(w.pod.Status.PodIP, w)
	}
	for _, c := range w.inits {
		if c.state.Running != nil && !w.ended {
			c.finish(exit{code: 137, at: time.Now(), message: "the node was restarted"}, containerID(w.pod, c.spec.Name, c.attempt), "")
		}
	}
	for _, c := range w.containers {
		running := c.state.Running
		switch {
		case running == nil && c.state.Terminated == nil && c.once: // CrashLoopBackOff
			c.dueAt = time.Now()
		case running == nil || w.ended:
		case w.imageOf(c) != nil:
			c.finish(exit{code: 137, at: time.Now(), message: "the node was restarted"}, containerID(w.pod, c.spec.Name, c.attempt), "")
		default:
			log, err := openLog(w.logFile(c.spec.Name, c.attempt))
			if err != nil {
				continue
			}
			run := startPretended(w.pod, c.spec.Image, w.fleet.rules, log, running.StartedAt.Time, true)
			w.follow(c, run, running.StartedAt.Time)
		}
	}
}

func (w *worker) logFile(container string, attempt int32) string {
	return filepath.Join(w.dir, "logs", container, strconv.Itoa(int(attempt))+".log")
}

// all are the pod's containers of both kinds.
func (w *worker) all() []*container {
	return slices.Concat(w.inits, w.containers)
}

// initialized says that every init container has done its work.
func (w *worker) initialized() bool {
	for _, c := range w.inits {
		if !c.succeeded() {
			return false
		}
	}
	return true
}

// ensureInitialized runs the next init container. A pretended one has nothing to do.
func (w *worker) ensureInitialized() (due time.Time) {
	for _, c := range w.inits {
		if c.succeeded() {
			continue
		}
		due = w.ensureRunning(c)
		if run, pretend := c.run.(*pretended); pretend {
			run.endWith(exit{at: time.Now()})
		}
		return due
	}
	return time.Time{}
}

// seen brings a newer version of the object. It never waits: the worker may be in the middle of a slow call.
func (w *worker) seen(pod *corev1.Pod) {
	w.inbox.Store(pod)
	w.poke()
}

func newer(a, b *corev1.Pod) bool {
	left, _ := strconv.ParseUint(a.ResourceVersion, 10, 64)
	right, _ := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return left > right
}

// wasRemoved says that the object is gone.
func (w *worker) wasRemoved() {
	w.gone.Store(true)
	w.poke()
}

func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) loop() {
	defer close(w.done)
	defer w.cleanUp()
	for {
		w.mutex.Lock()
		next, finished := w.step()
		w.mutex.Unlock()
		if finished {
			return
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-w.ctx.Done():
			return
		case <-w.wake:
		case <-timer:
		}
	}
}

// step does what is due and returns when to look again (zero: when something happens).
func (w *worker) step() (next time.Time, finished bool) {
	at := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, c := range w.all() {
		w.collect(c)
	}
	if w.gone.Load() {
		return time.Time{}, true
	}
	if pod := w.inbox.Load(); pod != nil && newer(pod, w.pod) {
		w.pod = pod.DeepCopy()
	}
	if w.pod.DeletionTimestamp != nil {
		if !w.terminating {
			w.terminating = true
			for _, c := range w.all() {
				w.stop(c, "")
			}
		}
		at(w.enforceGrace())
	} else if !w.ended {
		if due := w.ensureSetUp(); !due.IsZero() {
			at(due)
		}
		if w.setUp && !w.initialized() {
			if due := w.ensureInitialized(); !due.IsZero() {
				at(due)
			}
		} else if w.setUp {
			for _, c := range w.containers {
				if due := w.ensureRunning(c); !due.IsZero() {
					at(due)
				}
			}
			w.ended = w.allEnded()
		}
	}
	if due := w.report(); !due.IsZero() {
		at(due)
	}
	return next, false
}

// collect takes note of a run that ended.
func (w *worker) collect(c *container) {
	if c.run == nil {
		return
	}
	select {
	case <-c.run.exited():
	default:
		return
	}
	end := c.run.ending()
	ran := end.at.Sub(c.state.Running.StartedAt.Time)
	c.finish(end, containerID(w.pod, c.spec.Name, c.attempt), w.logFile(c.spec.Name, c.attempt))
	c.dueAt = end.at.Add(c.backOff(ran, w.fleet.options.Backoff, w.fleet.options.MaxBackoff))
	if c.attempt == 0 && !c.stopping { // the first restart comes at once
		c.dueAt, c.pause = end.at, 0
	}
}

// ensureSetUp gives the pod its address and volumes.
func (w *worker) ensureSetUp() (due time.Time) {
	if w.setUp || time.Now().Before(w.setUpRetry) {
		return w.setUpRetry
	}
	if w.volumes == nil && slices.ContainsFunc(w.all(), func(c *container) bool { return w.imageOf(c) != nil }) {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		volumes, err := mountVolumes(ctx, w.pod, filepath.Join(w.dir, "volumes"), newSources(w.fleet.client, w.pod.Namespace))
		cancel()
		if err != nil {
			w.event(corev1.EventTypeWarning, "FailedMount", err.Error())
			w.setUpRetry = time.Now().Add(retryAfter)
			return w.setUpRetry
		}
		w.volumes = volumes
	}
	if w.ip == "" {
		w.ip, w.loopback = w.fleet.network.give(w)
	}
	w.setUp = true
	return time.Time{}
}

// ensureRunning starts a container that should run; it returns when to try again.
func (w *worker) ensureRunning(c *container) (due time.Time) {
	if c.run != nil {
		return time.Time{}
	}
	if !c.again(w.pod.Spec.RestartPolicy) {
		return time.Time{}
	}
	now := time.Now()
	behaviour, changed := w.fleet.rules.of(w.pod, c.spec.Image)
	if !c.once && c.dueAt.IsZero() && w.imageOf(c) == nil {
		delay := w.fleet.options.PretendDelay
		if behaviour.StartDelayMs != nil {
			delay = time.Duration(*behaviour.StartDelayMs) * time.Millisecond
		}
		c.dueAt = w.setUpAt.Add(delay)
	}
	if now.Before(c.dueAt) {
		if c.state.Terminated != nil {
			c.last = c.state
			message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", c.pause, c.spec.Name, w.pod.Name, w.pod.Namespace, w.uid)
			c.state = waiting("CrashLoopBackOff", message)
			w.event(corev1.EventTypeWarning, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", c.spec.Name, w.pod.Name, w.pod.Namespace, w.uid))
		}
		return c.dueAt
	}
	if behaviour.Name == imagePullBackoff && !c.pulled {
		return w.refusePull(c, changed)
	}
	if !c.pulled {
		c.pulled = true
		w.event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine", c.spec.Image))
	}
	if c.state.Terminated != nil {
		c.last = c.state
	}
	attempt := c.attempt
	if c.once {
		attempt++
	}
	run, err := w.launch(c, attempt, behaviour)
	var config configError
	switch {
	case errors.As(err, &config):
		c.state = waiting("CreateContainerConfigError", config.message)
		w.event(corev1.EventTypeWarning, "Failed", "Error: "+config.message)
		c.dueAt = now.Add(retryAfter)
		return c.dueAt
	case err != nil:
		c.attempt, c.once = attempt, true
		c.finish(exit{code: 128, reason: "StartError", message: err.Error(), at: now}, containerID(w.pod, c.spec.Name, attempt), "")
		w.event(corev1.EventTypeWarning, "Failed", "Error: "+err.Error())
		c.dueAt = now.Add(c.backOff(0, w.fleet.options.Backoff, w.fleet.options.MaxBackoff))
		return c.dueAt
	}
	c.attempt = attempt
	os.Remove(w.logFile(c.spec.Name, attempt-2)) // the kubelet keeps the current run's log and the one before
	w.event(corev1.EventTypeNormal, "Created", "Container created")
	w.event(corev1.EventTypeNormal, "Started", "Container started")
	w.follow(c, run, now)
	return time.Time{}
}

func (w *worker) refusePull(c *container, changed <-chan struct{}) time.Time {
	pause := c.backOff(0, w.fleet.options.Backoff, w.fleet.options.MaxBackoff)
	failure := fmt.Sprintf("failed to pull and unpack image %q: not found", c.spec.Image)
	if c.state.Waiting == nil || c.state.Waiting.Reason != "ErrImagePull" {
		w.event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %s", c.spec.Image, failure))
		w.event(corev1.EventTypeWarning, "Failed", "Error: ErrImagePull")
		c.state = waiting("ErrImagePull", failure)
		w.report()
	}
	w.event(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.spec.Image))
	w.event(corev1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
	c.state = waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.spec.Image, failure))
	c.dueAt = time.Now().Add(pause)
	w.pokeWhen(changed)
	return c.dueAt
}

// imageOf is what runs in place of a container's image; nil: it is pretended.
func (w *worker) imageOf(c *container) *Image {
	if behaviour, _ := w.fleet.rules.of(w.pod, c.spec.Image); behaviour.Pretend {
		return nil
	}
	return w.fleet.image(c.spec.Image)
}

// launch makes one run of a container.
func (w *worker) launch(c *container, attempt int32, behaviour Behaviour) (running, error) {
	logFile := w.logFile(c.spec.Name, attempt)
	image := w.imageOf(c)
	if image == nil {
		log, err := openLog(logFile)
		if err != nil {
			return nil, err
		}
		return startPretended(w.pod, c.spec.Image, w.fleet.rules, log, time.Now(), false), nil
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	pod := w.pod.DeepCopy()
	pod.Status.PodIP, pod.Status.HostIP = w.ip, w.node.ip.String()
	spec, err := image.process(ctx, pod, c.spec, newSources(w.fleet.client, pod.Namespace), w.volumes, w.loopback)
	if err != nil {
		return nil, err
	}
	log, err := openLog(logFile)
	if err != nil {
		return nil, err
	}
	run, err := startProcess(spec, log)
	if err != nil {
		log.close()
		return nil, err
	}
	return run, nil
}

// follow watches a run: its end and its probes.
func (w *worker) follow(c *container, run running, startedAt time.Time) {
	c.begin(run, startedAt)
	ctx, cancel := context.WithCancel(w.ctx)
	c.stopRun = cancel
	go func() {
		select {
		case <-run.exited():
			w.poke()
		case <-ctx.Done():
		}
	}()
	spec, hasty := c.spec, false
	ask := askAddress(spec, w.loopback)
	if _, pretend := run.(*pretended); pretend {
		hasty = true
		ask = func(kind probeKind, _ *corev1.Probe) (bool, string) { return run.answers(kind) }
		if spec.ReadinessProbe == nil { // so that never-ready means something
			spec = spec.DeepCopy()
			spec.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1}
		}
	}
	go watchProbes(ctx, spec, ask, hasty, func(v verdict) {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		if c.run == run && ctx.Err() == nil {
			v.output = strings.ReplaceAll(v.output, w.loopback, w.ip)
			w.judge(c, v)
			w.poke()
		}
	})
}

// judge acts on what a probe found.
func (w *worker) judge(c *container, v verdict) {
	if w.terminating || c.stopping {
		return
	}
	if !v.ok {
		w.event(corev1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", v.kind, v.output))
	}
	if !v.decided {
		return
	}
	switch v.kind {
	case readiness:
		c.ready = v.ok
	case startup:
		c.started = v.ok
	}
	if !v.ok && v.kind != readiness {
		w.stop(c, fmt.Sprintf("Container %s failed %s probe, will be restarted", c.spec.Name, map[probeKind]string{startup: "startup", liveness: "liveness"}[v.kind]))
	}
}

// stop ends a run as the kubelet does: preStop, SIGTERM, and after the grace period SIGKILL.
func (w *worker) stop(c *container, why string) {
	if c.run == nil || c.stopping {
		return
	}
	c.stopping = true
	if why == "" {
		why = "Stopping container " + c.spec.Name
	}
	w.event(corev1.EventTypeNormal, "Killing", why)
	grace := 30 * time.Second
	if seconds := w.pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	run, begun := c.run, time.Now()
	preStop := time.Duration(0)
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil && c.spec.Lifecycle.PreStop.Sleep != nil {
		preStop = min(time.Duration(c.spec.Lifecycle.PreStop.Sleep.Seconds)*time.Second, grace)
	}
	terminating := w.terminating
	go func() {
		select {
		case <-time.After(preStop):
		case <-run.exited():
			return
		}
		run.terminate()
		if terminating {
			return // enforceGrace kills: the grace period of a deletion may be shortened
		}
		select {
		case <-time.After(time.Until(begun.Add(grace))):
			run.kill()
		case <-run.exited():
		}
	}()
}

// enforceGrace kills what still runs when the deletion's grace period is over.
func (w *worker) enforceGrace() (due time.Time) {
	deadline := w.pod.DeletionTimestamp.Time
	for _, c := range w.containers {
		if c.run == nil {
			continue
		}
		if time.Now().Before(deadline) {
			return deadline
		}
		c.run.kill()
	}
	return time.Time{}
}

func (w *worker) allEnded() bool {
	for _, c := range w.containers {
		if c.run != nil || c.state.Terminated == nil || c.again(w.pod.Spec.RestartPolicy) {
			return false
		}
	}
	return true
}

// report brings the status of the pod to the API server when it changed, and removes a pod that has ended as asked.
func (w *worker) report() (due time.Time) {
	if now := time.Now(); now.Before(w.reportAt) {
		return w.reportAt
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	if err := w.sendStatus(ctx); err != nil {
		return w.retry()
	}
	if w.terminating && !w.removed && !w.anyRunning() {
		zero := int64(0)
		err := w.fleet.client.CoreV1().Pods(w.pod.Namespace).Delete(ctx, w.pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &w.uid},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return w.retry()
		}
		w.removed = true
	}
	return time.Time{}
}

func (w *worker) retry() time.Time {
	w.reportAt = time.Now().Add(retryAfter)
	return w.reportAt
}

func (w *worker) anyRunning() bool {
	for _, c := range w.all() {
		if c.run != nil {
			return true
		}
	}
	return false
}

func (w *worker) event(kind, reason, message string) {
	w.fleet.event(w.pod, w.node.Name, kind, reason, message)
}

func (w *worker) pokeWhen(changed <-chan struct{}) {
	go func() {
		select {
		case <-changed:
			w.mutex.Lock()
			for _, c := range w.containers {
				if c.run == nil && !c.pulled {
					c.dueAt = time.Now()
				}
			}
			w.mutex.Unlock()
			w.poke()
		case <-w.ctx.Done():
		}
	}()
}

// crash ends a run as if it had failed by itself.
func (w *worker) crash(name string, end exit) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, c := range w.containers {
		if name != "" && c.spec.Name != name {
			continue
		}
		switch run := c.run.(type) {
		case *pretended:
			if end.message != "" {
				run.log.line("stdout", "F", end.message)
				end.message = ""
			}
			run.endWith(end)
			return nil
		case *process:
			run.kill()
			return nil
		}
		return fmt.Errorf("container %s does not run", c.spec.Name)
	}
	return fmt.Errorf("no container %q", name)
}

// dial connects to a port of the pod.
func (w *worker) dial(ctx context.Context, port string) (net.Conn, error) {
	w.mutex.Lock()
	loopback, up, isProcess := w.loopback, false, false
	for _, c := range w.containers {
		_, real := c.run.(*process)
		up, isProcess = up || c.run != nil, isProcess || real
	}
	w.mutex.Unlock()
	if !up {
		return nil, fmt.Errorf("connection refused: no container of the pod runs")
	}
	if !isProcess {
		return w.fleet.pretendedServer.connect(w)
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(loopback, port))
}

// cleanUp ends what runs. The files go when the pod is gone, not when this program ends: it may come back.
func (w *worker) cleanUp() {
	w.cancel()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, c := range w.all() {
		if c.run != nil {
			c.run.kill()
			<-c.run.exited()
			c.run = nil
		}
	}
	w.fleet.network.free(w.ip)
	if w.gone.Load() {
		os.RemoveAll(w.dir)
	}
}
