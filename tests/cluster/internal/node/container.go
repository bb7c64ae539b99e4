package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is what a worker knows of one container of its pod.
type container struct {
	spec     *corev1.Container
	run      running
	stopRun  context.CancelFunc // ends the probes of the run
	attempt  int32              // number of the current or last run; the restart count
	state    corev1.ContainerState
	last     corev1.ContainerState
	started  bool // startup probe succeeded
	ready    bool
	once     bool // it ran at least once
	dueAt    time.Time
	pause    time.Duration // before the next try
	pulled   bool
	stopping bool
}

func newContainer(spec *corev1.Container) *container {
	return &container{spec: spec, state: waiting("ContainerCreating", "")}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// begin notes a run that has begun.
func (c *container) begin(run running, at time.Time) {
	c.run = run
	c.once = true
	c.started, c.ready, c.stopping = false, false, false
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
}

// succeeded says that its work is done, for one that has work to do: an init container.
func (c *container) succeeded() bool {
	return c.run == nil && c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
}

// finish notes how a run ended.
func (c *container) finish(end exit, id, log string) {
	startedAt := metav1.NewTime(end.at)
	if c.state.Running != nil {
		startedAt = c.state.Running.StartedAt
	}
	message := end.message
	if message == "" && end.code != 0 && c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		message = lastOutput(log)
	}
	if c.stopRun != nil {
		c.stopRun()
	}
	c.run, c.stopRun = nil, nil
	c.started, c.ready = false, false
	c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode:    end.code,
		Reason:      end.reasonOrDefault(),
		Message:     message,
		StartedAt:   startedAt,
		FinishedAt:  metav1.NewTime(end.at),
		ContainerID: id,
	}}
}

// again tells whether a container that ended is started again.
func (c *container) again(policy corev1.RestartPolicy) bool {
	terminated := c.state.Terminated
	if terminated == nil {
		terminated = c.last.Terminated
	}
	if terminated == nil {
		return true
	}
	return policy == corev1.RestartPolicyAlways || (policy == corev1.RestartPolicyOnFailure && terminated.ExitCode != 0)
}

// backOff doubles the pause before the next try; a run of more than twice the longest pause starts it afresh.
func (c *container) backOff(ran, first, longest time.Duration) time.Duration {
	if ran > 2*longest {
		c.pause = 0
	}
	c.pause = min(max(2*c.pause, first), longest)
	return c.pause
}

func (c *container) status(pod *corev1.Pod) corev1.ContainerStatus {
	started := c.started
	status := corev1.ContainerStatus{
		Name:                 c.spec.Name,
		State:                c.state,
		LastTerminationState: c.last,
		Ready:                c.ready,
		Started:              &started,
		RestartCount:         c.attempt,
		Image:                c.spec.Image,
	}
	if c.once {
		status.ImageID = "test-node://" + c.spec.Image
		status.ContainerID = containerID(pod, c.spec.Name, c.attempt)
	}
	return status
}

func containerID(pod *corev1.Pod, name string, attempt int32) string {
	return fmt.Sprintf("testnode://%s/%s/%d", pod.UID, name, attempt)
}
