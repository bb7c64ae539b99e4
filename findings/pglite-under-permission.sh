#!/usr/bin/env bash
# PGlite cannot open a folder under Node's permission model, though it may read and write that folder: its file system asks
# process.binding("constants"), which the model refuses as a whole. Ends with 0 while that is so, and while answering that one
# question is enough.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error @electric-sql/pglite@0.3.16 node@24.21.0 >/dev/null
node=$folder/node_modules/.bin/node
mkdir data
cat >open.mjs <<'JS'
import { constants } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
if (process.argv[2] === "answered") {
  const refuse = process.binding;
  process.binding = (name) => (name === "constants" ? { fs: { ...constants } } : refuse.call(process, name));
}
const database = new PGlite("./data");
console.log((await database.query("select 1 as one")).rows);
await database.close();
JS
permitted=("$node" --permission "--allow-fs-read=$folder" "--allow-fs-write=$folder/data")
echo "node $("$node" --version), @electric-sql/pglite 0.3.16"
if "${permitted[@]}" open.mjs >out 2>&1; then
  cat out
  echo "It opens: the model or PGlite has changed."
  exit 1
fi
grep -m1 -o 'ERR_ACCESS_DENIED.*' out
"${permitted[@]}" open.mjs answered
echo "With process.binding(\"constants\") answered it opens."
