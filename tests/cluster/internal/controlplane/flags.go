package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The cluster's own network. None of these addresses exists on the machine; see Egress.
const (
	serviceCIDR  = "10.96.0.0/16"
	kubernetesIP = "10.96.0.1"
	// MetricsIP is the address of the service behind metrics.k8s.io.
	MetricsIP = "10.96.0.10"
)

// Only what a workload of Deployments needs: each controller more costs memory and time at the start.
var controllers = []string{
	"namespace-controller", "garbage-collector-controller", "resourcequota-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"deployment-controller", "replicaset-controller", "statefulset-controller", "job-controller", "ttl-after-finished-controller",
	"horizontal-pod-autoscaler-controller", "disruption-controller",
	"endpoints-controller", "endpointslice-controller",
	"node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller",
	"clusterrole-aggregation-controller",
}

// Layout is where the parts of a cluster find each other.
type Layout struct {
	PKI        *PKI
	DataDir    string // kept over a restart when its owner wants so
	SocketDir  string // of this run
	Port       int
	Etcd       *Etcd
	Egress     *Egress
	Kubeconfig map[string]string // by user of the PKI
}

// URL of the API server.
func (l *Layout) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", l.Port) }

// LogDir is where the components log.
func (l *Layout) LogDir() string { return filepath.Join(l.DataDir, "logs") }

// APIServerArgs are the flags of kube-apiserver: RBAC, the default admission plugins (PodSecurity, ResourceQuota,
// LimitRanger, ServiceAccount …), aggregation, and the way into the cluster's network.
func (l *Layout) APIServerArgs(extra []string) []string {
	file := l.PKI.File
	return append([]string{
		"--etcd-servers=" + l.Etcd.Address(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", l.Port),
		"--tls-cert-file=" + file("apiserver.crt"),
		"--tls-private-key-file=" + file("apiserver.key"),
		"--client-ca-file=" + l.PKI.CAFile(),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + serviceCIDR,
		// Nothing in the cluster's network reaches the API server, so the service `kubernetes` has no endpoint.
		"--advertise-address=" + kubernetesIP,
		"--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + file("service-account.pub"),
		"--service-account-signing-key-file=" + file("service-account.key"),
		"--kubelet-certificate-authority=" + l.PKI.CAFile(),
		"--kubelet-client-certificate=" + file("kubelet-client.crt"),
		"--kubelet-client-key=" + file("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + file("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + file("front-proxy-client.crt"),
		"--proxy-client-key-file=" + file("front-proxy-client.key"),
		"--egress-selector-config-file=" + l.Egress.config,
		"--profiling=false",
	}, extra...)
}

// ControllerManagerArgs are the flags of kube-controller-manager. What waits for minutes by default waits for seconds.
func (l *Layout) ControllerManagerArgs(extra []string) []string {
	return append([]string{
		"--kubeconfig=" + l.Kubeconfig["controller-manager"],
		"--controllers=" + strings.Join(controllers, ","),
		"--leader-elect=false",
		"--secure-port=0",
		"--root-ca-file=" + l.PKI.CAFile(),
		"--service-account-private-key-file=" + l.PKI.File("service-account.key"),
		"--use-service-account-credentials=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-namespace-syncs=20",
		"--node-monitor-period=1s",
		"--resource-quota-sync-period=30s",
		"--horizontal-pod-autoscaler-sync-period=1s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=1s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=2s",
		"--horizontal-pod-autoscaler-downscale-stabilization=5s",
	}, extra...)
}

// SchedulerArgs are the flags of kube-scheduler; a pod that found no place is tried again within two seconds.
func (l *Layout) SchedulerArgs() ([]string, error) {
	config := filepath.Join(l.SocketDir, "scheduler.yaml")
	content := fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %s
  qps: 1000
  burst: 2000
leaderElection:
  leaderElect: false
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 2
`, l.Kubeconfig["scheduler"])
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, err
	}
	return []string{"--config=" + config, "--secure-port=0"}, nil
}
