#!/usr/bin/env bash
# One line of an .env file, three values. A JSON text in double quotes with escaped quotes (what many deploy tools write):
# - node:util parseEnv (Node 24.21.0) ends the value at the first escaped quote: the rest is lost without an error;
# - dotenv 18.0.10 keeps the backslashes;
# - python-dotenv 1.2.2 unescapes the quotes.
# And a # inside a word without quotes is a comment for the first two and part of the value for the third.
# Consequence: a secret set from a file depends on the reader. We parse such files ourselves (packages/cli/src/input/env-lines.ts).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 dotenv@18.0.10 >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-dotenv==1.2.2
printf '%s\n' 'JSON="{\"a\": 1}"' 'WORD=a#b' >.env

node_modules/.bin/node -e '
  const text = require("node:fs").readFileSync(".env", "utf8");
  console.log(`node ${process.version} parseEnv`, JSON.stringify(require("node:util").parseEnv(text)));
  console.log("dotenv 18.0.10", JSON.stringify(require("dotenv").parse(text)));' | tee seen
venv/bin/python -c '
import dotenv, json
print("python-dotenv 1.2.2", json.dumps(dict(dotenv.dotenv_values(".env")), separators=(",", ":")))' | tee -a seen

cat >expected <<'END'
node v24.21.0 parseEnv {"JSON":"{\\","WORD":"a"}
dotenv 18.0.10 {"JSON":"{\\\"a\\\": 1}","WORD":"a"}
python-dotenv 1.2.2 {"JSON":"{\"a\": 1}","WORD":"a#b"}
END
diff expected seen && echo "as found"
