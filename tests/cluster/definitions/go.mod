// Modules that are read, not built: the definitions of other projects' kinds lie in them as YAML.
module agent-launchpad.dev/testcluster/definitions

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
