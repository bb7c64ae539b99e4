#!/usr/bin/env bash
# Helm 3.22.0 built with `go install` takes the cluster for Kubernetes v1.20 where it has none to ask (`helm template`, `helm lint`),
# although it is linked against client-go of 1.37: a chart with `kubeVersion: ">=1.30.0-0"` does not render. The release's own
# Makefile sets the number by linker flags. Helm 4.3.1, built the same way, reads it from its build information.
# Cure: `helm template --kube-version 1.36.0`.
# Needs Go; the first build takes some minutes (`-trimpath` and `-s -w` change nothing of it).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p chart/templates
printf '%s\n' 'apiVersion: v2' 'name: needs-a-new-cluster' 'version: 0.1.0' 'kubeVersion: ">=1.30.0-0"' >chart/Chart.yaml
printf '%s\n' 'apiVersion: v1' 'kind: ConfigMap' 'metadata: {name: seen}' 'data: {minor: "{{ .Capabilities.KubeVersion.Minor }}"}' >chart/templates/seen.yaml
export HELM_CACHE_HOME=$dir HELM_CONFIG_HOME=$dir HELM_DATA_HOME=$dir KUBECONFIG=/dev/null
for module in v3@v3.22.0 v4@v4.3.1; do
  major=${module%%@*}
  GOBIN=$dir/$major go install -trimpath -ldflags "-s -w" "helm.sh/helm/$major/cmd/helm@${module##*@}"
  echo "helm $module: $("$major/helm" template trial chart 2>&1 | grep -o 'incompatible with Kubernetes v[0-9.]*\|minor: "[0-9]*"' | head -1)"
done | tee seen
grep -q '^helm v3@v3.22.0: incompatible with Kubernetes v1.20.0$' seen
grep -Eq '^helm v4@v4.3.1: minor: "3[0-9]"$' seen && echo "as found ($(go version | cut -d' ' -f3))"
