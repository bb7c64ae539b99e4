#!/usr/bin/env bash
# Node's ServerResponse.end() on a corked answer sends the last chunk ("0\r\n\r\n") before the chunks that cork() holds back, where
# a part of the body has gone out before: the client takes the answer for complete without its end, and the rest for garbage. The
# documentation of end() and cork() says nothing of it; without an earlier write the order is right. Seen with Node 24.21.0.
# Ends with 0 while that is so. Consequence: packages/agent-runtime/src/http/event-stream.ts holds events back itself.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 >/dev/null
cat >ask.mjs <<'END'
import { createServer } from "node:http";
import { connect } from "node:net";
const ways = {
  "cork, write, end": (response) => { response.cork(); response.write("held"); response.end(); },
  "write, cork, write, uncork, end": (response) => {
    response.write("first"); response.cork(); response.write("held"); response.uncork(); response.end();
  },
  "write, cork, write, end": (response) => { response.write("first"); response.cork(); response.write("held"); response.end(); },
};
console.log(process.version);
for (const [name, answer] of Object.entries(ways)) {
  const server = createServer((_request, response) => answer(response));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const socket = connect(server.address().port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  let text = "";
  for await (const part of socket) text += part;
  console.log(`${name}: ${JSON.stringify(text.slice(text.indexOf("\r\n\r\n") + 4))}`);
  server.close();
}
END
node_modules/.bin/node ask.mjs | tee seen
cat >expected <<'END'
v24.21.0
cork, write, end: "4\r\nheld\r\n0\r\n\r\n"
write, cork, write, uncork, end: "5\r\nfirst\r\n4\r\nheld\r\n0\r\n\r\n"
write, cork, write, end: "5\r\nfirst\r\n0\r\n\r\n4\r\nheld\r\n"
END
diff expected seen && echo "as found"
