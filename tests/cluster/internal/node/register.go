package node

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KubeletPort is the port of the kubelet API at each node's address.
const KubeletPort = 10250

// register makes the Node object and says that it is ready.
func (f *Fleet) register(ctx context.Context, spec *Spec) error {
	labels := map[string]string{
		corev1.LabelHostname:          spec.Name,
		corev1.LabelOSStable:          "linux",
		corev1.LabelArchStable:        "amd64",
		corev1.LabelTopologyZone:      spec.Zone,
		corev1.LabelTopologyRegion:    "test",
		"agent-launchpad.dev/testing": "true",
	}
	for name, value := range spec.Labels {
		labels[name] = value
	}
	nodes := f.client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: spec.Name, Labels: labels}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = nodes.Get(ctx, spec.Name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	if err := f.report(ctx, spec, node); err != nil {
		return err
	}
	return f.renew(ctx, spec, node.UID)
}

// report says what the node is and that it is ready.
func (f *Fleet) report(ctx context.Context, spec *Spec, node *corev1.Node) error {
	now := metav1.Now()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse(spec.CPU),
		corev1.ResourceMemory:           resource.MustParse(spec.Memory),
		corev1.ResourcePods:             *resource.NewQuantity(spec.Pods, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: resource.MustParse("500Gi"),
	}
	node.Status = corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
		},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: spec.ip.String()},
			{Type: corev1.NodeHostName, Address: spec.Name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: KubeletPort}},
		NodeInfo:        corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "v1.36.3-test", ContainerRuntimeVersion: "testnode://1"},
	}
	_, err := f.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// heartbeat renews the leases; a node whose lease is old gets NotReady and loses its pods.
func (f *Fleet) heartbeat() {
	ticker := time.NewTicker(heartbeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		for i := range f.options.Specs {
			f.beat(&f.options.Specs[i])
		}
	}
}

// beat renews the lease of one node; where it was given up meanwhile, the node says that it is ready.
func (f *Fleet) beat(spec *Spec) {
	if f.isAway(spec.Name) {
		return
	}
	ctx, cancel := context.WithTimeout(f.ctx, heartbeatEvery/2)
	defer cancel()
	if f.renew(ctx, spec, "") != nil {
		return
	}
	node, err := f.client.CoreV1().Nodes().Get(ctx, spec.Name, metav1.GetOptions{})
	if err != nil {
		return
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			_ = f.report(ctx, spec, node)
		}
	}
}

func (f *Fleet) renew(ctx context.Context, spec *Spec, owner types.UID) error {
	leases := f.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NewMicroTime(time.Now()), int32(leaseSeconds)
	lease, err := leases.Get(ctx, spec.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: spec.Name, Namespace: corev1.NamespaceNodeLease},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &spec.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}
		if owner != "" {
			lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: spec.Name, UID: owner}}
		}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
