#!/usr/bin/env bash
# node --test --test-force-exit counts fewer tests than ran: the file's process is ended with results still to be written to the
# pipe, and the runner takes the rest for all. The documentation of the flag promises an exit after all tests have finished, and
# says nothing of lost results. How many are lost differs from run to run. Seen with Node 24.21.0.
# Ends with 0 while one of ten runs loses some. Consequence: none since the tests run in vitest; before, the pipe was made blocking.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 >/dev/null
cat >many.test.mjs <<'JS'
import { test } from "node:test";
for (let n = 1; n < 3000; n++) test(`number ${n} with a name of some length, as tests have`, () => {});
test("the last one fails", () => { throw new Error("seen?"); });
JS
node_modules/.bin/node --version
count() { grep -E "^# (tests|pass|fail) " "$1" | tr '\n' ' '; }
node_modules/.bin/node --test --test-reporter=tap many.test.mjs >whole || code=$?
echo "without --test-force-exit: $(count whole)exit ${code:-0}"
grep -q "^# tests 3000$" whole
for _ in $(seq 10); do
  node_modules/.bin/node --test --test-reporter=tap --test-force-exit many.test.mjs >forced || true
  echo "with --test-force-exit:    $(count forced)"
  if ! grep -q "^# tests 3000$" forced; then echo "as found: results are lost"; exit 0; fi
done
echo "every run counted all tests"
exit 1
