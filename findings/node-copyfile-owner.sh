#!/usr/bin/env bash
# Node 24's fs.copyFile gives a copy the owner of the original where the process is root; Node 20's copy belongs to root, like cp's.
# The documentation of neither mentions owners. Whoever owned the original can therefore change what root copied to be safe from them.
# Needs root: others can give no file away, and see no difference.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "run it as root"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node-20@npm:node@20.19.5 node-24@npm:node@24.11.1
cat > copy.cjs <<'JS'
const { chownSync, copyFileSync, rmSync, statSync, writeFileSync } = require("node:fs");
writeFileSync("original", "x");
chownSync("original", 1234, 1234);
copyFileSync("original", "copy");
console.log(statSync("copy").uid);
rmSync("original");
rmSync("copy");
JS
old=$(node_modules/node-20/bin/node copy.cjs)
new=$(node_modules/node-24/bin/node copy.cjs)
echo "a file of the account 1234, copied by root: owner $old with Node 20.19.5, $new with Node 24.11.1"
[ "$old" = 0 ] && [ "$new" = 1234 ] || { echo "the behaviour has changed"; exit 1; }
