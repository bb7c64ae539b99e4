#!/usr/bin/env bash
# A task of deno.json that calls `deno` fails where the npm package `deno` is installed in the folder: `deno task` finds
# node_modules/.bin/deno, takes it for a package's script and reads the binary as JavaScript ("SyntaxError", "ELF").
# The manual's own examples call `deno` in tasks. `env deno …` starts the same file as a program. (denoland/deno#27114 tells the
# like of `deno run npm:supabase`.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund deno@2.9.6
cat > deno.json <<'JSON'
{ "nodeModulesDir": "manual", "tasks": { "plain": "deno --version", "env": "env deno --version" } }
JSON
export NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 DENO_DIR="$folder/cache"
deno=node_modules/.bin/deno
$deno --version | head -1
plain=$($deno task plain 2>&1 | tr -d "\0" || true)
env=$($deno task env 2>&1 | tr -d "\0" || true)
echo "task \`deno --version\`:     $(grep -m1 '^error\|^deno ' <<<"$plain")"
echo "task \`env deno --version\`: $(grep -m1 '^error\|^deno ' <<<"$env")"
grep -q SyntaxError <<<"$plain" && grep -q '^deno 2.9.6' <<<"$env" || { echo "the behaviour has changed"; exit 1; }
