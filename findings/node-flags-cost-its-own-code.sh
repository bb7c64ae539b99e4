#!/usr/bin/env bash
# `v8.setFlagsFromString` makes Node compile its own modules: after any change of a flag, V8 rejects the compiled code that Node brings for
# them, without a word. A program that sets a flag first, as one does, pays for every built-in module that it loads afterwards (31 for a
# server with crypto: 11 ms). Flags that are sizes and stand on the command line cost nothing.
set -euo pipefail
node=${NODE:-node}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/count.cjs" <<'EOF'
const [flag] = process.argv.slice(2);
if (flag) require("node:v8").setFlagsFromString(flag);
require("node:http");
require("node:crypto");
const { getCacheUsage } = require("internal/test/binding").internalBinding("builtins");
const { compiledWithCache, compiledWithoutCache } = getCacheUsage();
console.log([...compiledWithCache].length, [...compiledWithoutCache].length);
EOF
count() { "$node" --expose-internals --no-warnings "$@"; }
echo "Node $("$node" --version): built-in modules loaded with their compiled code, and compiled again"
read -r plain_with plain_without < <(count "$folder/count.cjs")
read -r set_with set_without < <(count "$folder/count.cjs" --semi-space-growth-factor=1)
read -r size_with size_without < <(count --max-semi-space-size=1 "$folder/count.cjs")
echo "no flag:                                          $plain_with, $plain_without"
echo "setFlagsFromString('--semi-space-growth-factor=1'): $set_with, $set_without"
echo "node --max-semi-space-size=1:                     $size_with, $size_without"
if [ "$plain_without" -ne 0 ] || [ "$set_without" -eq 0 ] || [ "$size_without" -ne 0 ]; then
  echo "It has changed: look again at packages/agent-runtime/src/memory.ts and permissions.ts."
  exit 1
fi
