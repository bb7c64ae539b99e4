package node

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/util/pod"
)

// errAway says that the node is cut off; the status is sent once it is back.
var errAway = errors.New("the node is away")

// sendStatus patches the status of the pod when it is not what the API server has.
func (w *worker) sendStatus(ctx context.Context) error {
	if w.fleet.isAway(w.node.Name) {
		return errAway
	}
	next := w.status()
	if equality.Semantic.DeepEqual(next, w.pod.Status) || w.removed {
		return nil
	}
	updated, _, _, err := podutil.PatchPodStatus(ctx, w.fleet.client, w.pod.Namespace, w.pod.Name, w.uid, w.pod.Status, next)
	if err == nil && updated != nil && newer(updated, w.pod) {
		w.pod = updated
	}
	return err
}

// status computes what the kubelet would report, over what others wrote into it.
func (w *worker) status() corev1.PodStatus {
	status := *w.pod.Status.DeepCopy()
	if w.ended && !w.terminating && (status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed) {
		return status
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	if status.StartTime == nil {
		status.StartTime = &now
	}
	status.HostIP = w.node.ip.String()
	status.HostIPs = []corev1.HostIP{{IP: status.HostIP}}
	if w.ip != "" {
		status.PodIP = w.ip
		status.PodIPs = []corev1.PodIP{{IP: w.ip}}
	}
	status.ObservedGeneration = w.pod.Generation
	status.ContainerStatuses, status.InitContainerStatuses = nil, nil
	for _, c := range w.inits {
		one := c.status(w.pod)
		one.Ready = c.succeeded()
		status.InitContainerStatuses = append(status.InitContainerStatuses, one)
	}
	ready, running, once, failed := true, false, true, false
	for _, c := range w.containers {
		status.ContainerStatuses = append(status.ContainerStatuses, c.status(w.pod))
		ready = ready && c.ready
		running = running || c.run != nil
		once = once && c.once
		if t := c.state.Terminated; t != nil && t.ExitCode != 0 {
			failed = true
		}
	}
	final := w.ended || (w.terminating && !running)
	switch {
	case final && failed:
		status.Phase = corev1.PodFailed
	case final:
		status.Phase = corev1.PodSucceeded
	case once || running:
		status.Phase = corev1.PodRunning
	default:
		status.Phase = corev1.PodPending
	}
	set := func(kind corev1.PodConditionType, ok bool, reason, message string) {
		setCondition(&status, now, kind, ok, reason, message)
	}
	notReady, text := "ContainersNotReady", "containers with unready status: "+w.unready()
	if ready {
		notReady, text = "", ""
	} else if final {
		notReady, text = map[bool]string{true: "PodFailed", false: "PodCompleted"}[failed], ""
	}
	set(corev1.PodReadyToStartContainers, w.ip != "" && !final, "", "")
	incomplete := map[bool]string{true: "", false: "ContainersNotInitialized"}[w.initialized()]
	set(corev1.PodInitialized, w.initialized(), incomplete, "")
	set(corev1.ContainersReady, ready && !final, notReady, text)
	set(corev1.PodReady, ready && !final && gatesOpen(w.pod), notReady, text)
	return status
}

func (w *worker) unready() string {
	names := "["
	for _, c := range w.containers {
		if !c.ready {
			if names != "[" {
				names += " "
			}
			names += c.spec.Name
		}
	}
	return names + "]"
}

func gatesOpen(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.ReadinessGates {
		open := false
		for _, condition := range pod.Status.Conditions {
			open = open || (condition.Type == gate.ConditionType && condition.Status == corev1.ConditionTrue)
		}
		if !open {
			return false
		}
	}
	return true
}

func setCondition(status *corev1.PodStatus, now metav1.Time, kind corev1.PodConditionType, ok bool, reason, message string) {
	value := corev1.ConditionFalse
	if ok {
		value = corev1.ConditionTrue
	}
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		if condition.Type != kind {
			continue
		}
		if condition.Status != value {
			condition.LastTransitionTime = now
		}
		condition.Status, condition.Reason, condition.Message = value, reason, message
		return
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: kind, Status: value, Reason: reason, Message: message, LastTransitionTime: now,
	})
}
