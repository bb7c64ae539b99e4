#!/usr/bin/env bash
# A bot's token is reset while discord.js 14.18.0 (what @elizaos/plugin-discord 1.3.8 brings) is connected: Discord closes the gateway
# with 4004, which its documentation marks as final. The client emits shardError, and shardReconnecting as if it were to reconnect; the
# guide names shardDisconnect ("will no longer reconnect") and invalidated for it. Neither comes, no connection is tried again, and
# nothing is thrown: a program that listens as documented takes the bot for one that reconnects. Consequence: we read the
# close code (packages/agent-runtime/src/engines/eliza/platforms/discord.ts).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 discord.js@14.18.0 ws@8.23.0 >/dev/null
cat >bot.mjs <<'END'
import { createServer } from "node:http";
import { Client, version } from "discord.js";
import { WebSocketServer } from "ws";
let connections = 0;
const server = createServer((request, response) =>
  response.writeHead(200, { "content-type": "application/json" }).end(
    JSON.stringify({
      url: `ws://127.0.0.1:${server.address().port}`,
      shards: 1,
      session_start_limit: { total: 1000, remaining: 999, reset_after: 0, max_concurrency: 1 },
    }),
  ),
);
const gateway = new WebSocketServer({ server });
let identified;
gateway.on("connection", (socket) => {
  connections += 1;
  socket.send(JSON.stringify({ op: 10, d: { heartbeat_interval: 40000 } }));
  socket.on("message", (raw) => {
    if (JSON.parse(raw).op !== 2) return;
    identified = socket;
    const user = { id: "1", username: "ada", discriminator: "0", avatar: null, bot: true };
    const d = { v: 10, user, guilds: [], session_id: "s", resume_gateway_url: `ws://127.0.0.1:${server.address().port}`, application: { id: "1", flags: 0 } };
    socket.send(JSON.stringify({ op: 0, s: 1, t: "READY", d }));
  });
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const client = new Client({ intents: [], rest: { api: `http://127.0.0.1:${server.address().port}/api` } });
const seen = [];
for (const event of ["shardReconnecting", "shardDisconnect", "invalidated", "error"]) client.on(event, () => seen.push(event));
client.on("shardError", ({ message }) => seen.push(`shardError ${message}`));
const ready = new Promise((done) => client.once("ready", done));
await client.login("a.b.c");
await ready;
identified.close(4004);
await new Promise((later) => setTimeout(later, 15000));
console.log(`discord.js ${version}`);
console.log(seen.join(", "));
console.log(`connections ${connections}`);
process.exit(0);
END
node_modules/.bin/node bot.mjs 2>/dev/null | tee seen
cat >expected <<'END'
discord.js 14.18.0
shardReconnecting, shardError Authentication failed
connections 1
END
diff expected seen && echo "as found"
