#!/usr/bin/env bash
# `import { createServer } from "node:http"` loads undici, and with it 5 MB that `require("node:http")` leaves alone: the ECMAScript form of a
# built-in module reads every export, and `http` has WebSocket, which loads undici when it is read. Any ES module that serves HTTP pays it.
set -euo pipefail
node=${NODE:-node}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count='console.log(process.moduleLoadList.filter((name) => name.includes("undici")).length, Math.round(process.memoryUsage.rss() / 1e6));'
echo "const { createServer } = require('node:http'); createServer; $count" >"$folder/required.cjs"
echo "import { createServer } from 'node:http'; createServer; $count" >"$folder/imported.mjs"
echo "Node $("$node" --version)"
read -r required_modules required_mb < <("$node" "$folder/required.cjs")
read -r imported_modules imported_mb < <("$node" "$folder/imported.mjs")
echo "required: $required_modules modules of undici, $required_mb MB resident; imported: $imported_modules, $imported_mb MB"
if [ "$required_modules" -ne 0 ] || [ "$imported_modules" -eq 0 ]; then
  echo "It has changed: the bundle of the agent runtime (packages/agent-runtime/src/bundle.ts) need not avoid it any more."
  exit 1
fi
