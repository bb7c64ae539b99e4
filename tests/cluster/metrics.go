package main

import (
	"context"
	"encoding/json"
	"os"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"agent-launchpad.dev/testcluster/internal/controlplane"
)

// serveMetrics puts metrics.k8s.io, which the nodes answer, behind the API server's aggregation layer.
func (c *cluster) serveMetrics(ctx context.Context) error {
	const namespace, name = "kube-system", "metrics-server"
	services := c.client.CoreV1().Services(namespace)
	_, err := services.Get(ctx, name, metav1.GetOptions{}) // there after an earlier start
	if apierrors.IsNotFound(err) {
		_, err = services.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.ServiceSpec{ClusterIP: controlplane.MetricsIP, Ports: []corev1.ServicePort{{Port: 443}}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	// The API server believes in a service only when an endpoint stands behind it.
	port, ready := int32(443), true
	_, err = c.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{c.fleet.NodeIPs()[0].String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	ca, err := os.ReadFile(c.layout.PKI.CAFile())
	if err != nil {
		return err
	}
	body, err := json.Marshal(&apiregistration.APIService{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService"},
		ObjectMeta: metav1.ObjectMeta{Name: "v1beta1.metrics.k8s.io"},
		Spec: apiregistration.APIServiceSpec{
			Service: &apiregistration.ServiceReference{Namespace: namespace, Name: name, Port: &port},
			Group:   "metrics.k8s.io", Version: "v1beta1", CABundle: ca, GroupPriorityMinimum: 100, VersionPriority: 100,
		},
	})
	if err != nil {
		return err
	}
	err = c.client.Discovery().RESTClient().Post().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").
		SetHeader("content-type", "application/json").Body(body).Do(ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
