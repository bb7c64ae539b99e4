#!/usr/bin/env bash
# PGlite under Node 24: fifty small queries take 850 MB for a moment, because V8 optimises Postgres's WebAssembly while it runs.
# V8's --no-wasm-tier-up, which should keep to the baseline compiler, changes nothing alone; with --no-wasm-dynamic-tiering the
# peak is a third.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @electric-sql/pglite@0.3.16
cat > open.mjs <<'JS'
import { readFileSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite/vector";
const db = await PGlite.create("data", { extensions: { vector } });
await db.exec("create extension if not exists vector");
for (let i = 0; i < 50; i++) await db.query("select count(*) from pg_settings");
await new Promise((done) => setTimeout(done, 2000)); // V8 compiles beside the program
await db.close();
const peak = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1];
console.log(Math.round(peak / 1024));
JS
echo "node $(node --version), V8 $(node -p process.versions.v8), @electric-sql/pglite 0.3.16; MiB at the peak"
node open.mjs >/dev/null # makes the database
default=$(node open.mjs)
one=$(node --no-wasm-tier-up open.mjs)
both=$(node --no-wasm-tier-up --no-wasm-dynamic-tiering open.mjs)
echo "V8's defaults:                                $default"
echo "--no-wasm-tier-up:                            $one"
echo "--no-wasm-tier-up --no-wasm-dynamic-tiering:  $both"
[ "$default" -gt 600 ] && [ "$one" -gt 600 ] && [ "$both" -lt 400 ] || { echo "the behaviour has changed"; exit 1; }
