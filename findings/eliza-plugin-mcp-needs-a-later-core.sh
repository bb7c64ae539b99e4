#!/usr/bin/env bash
# @elizaos/plugin-mcp 1.8.2 accepts any elizaOS by its package.json (peer dependency "*", built with "^1.7.0"), and npm installs it
# beside @elizaos/core 1.7.2 without a word. Loading it fails: it imports getRequestContext, which that core does not export.
# Consequence: a missing export of the core is told as a plugin for another elizaOS, with its name
# (packages/agent-runtime/src/engines/requirements.ts, missesExport).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @elizaos/core@1.7.2 @elizaos/plugin-mcp@1.8.2 >/dev/null
node_modules/.bin/node -p '
  const { peerDependencies, devDependencies } = require("./node_modules/@elizaos/plugin-mcp/package.json");
  `peer ${peerDependencies["@elizaos/core"]}, built with ${devDependencies["@elizaos/core"]}, core ${
    require("./node_modules/@elizaos/core/package.json").version}`' | tee seen
node_modules/.bin/node --input-type=module -e '
  await import("@elizaos/plugin-mcp").then(() => console.log("loads"), (error) => console.log(error.message))' 2>/dev/null |
  tail -n 1 | tee -a seen
cat >expected <<'END'
peer *, built with ^1.7.0, core 1.7.2
The requested module '@elizaos/core' does not provide an export named 'getRequestContext'
END
diff expected seen && echo "as found"
