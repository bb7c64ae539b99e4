#!/usr/bin/env bash
# @kubernetes/client-node 2.0.1 merges the files of KUBECONFIG the other way round than kubectl:
# - the last file's current-context counts (kubectl: the first file that sets one);
# - a cluster, user or context that two files name is an error (kubectl: the first one counts).
# kubectl's rules: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ ("Merging kubeconfig files").
# Consequence: a program that calls loadFromDefault() can talk to another cluster than kubectl does in the same shell.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @kubernetes/client-node@2.0.1 >/dev/null
for n in one two; do
  cat >"$n" <<END
apiVersion: v1
kind: Config
clusters: [{name: $n, cluster: {server: "https://$n.example"}}]
users: [{name: $n, user: {token: $n}}]
contexts: [{name: $n, context: {cluster: $n, user: $n}}]
current-context: $n
END
done
cat >seen.mjs <<'END'
import { KubeConfig } from "@kubernetes/client-node";
const load = (files) => {
  process.env.KUBECONFIG = files;
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
    return config.getCurrentContext();
  } catch (error) {
    return error.message;
  }
};
console.log(`one:two -> current context ${load("one:two")}`);
console.log(`one:one -> ${load("one:one")}`);
END
node seen.mjs | tee seen
printf '%s\n' 'one:two -> current context two' 'one:one -> Duplicate cluster: one' >expected
diff expected seen && echo "as found (client-node 2.0.1, node $(node --version))"
