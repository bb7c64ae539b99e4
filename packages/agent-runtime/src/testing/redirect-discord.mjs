// Preloaded by tests of Discord: connections to discord.com arrive at the port in TEST_DISCORD_PORT, without TLS. plugin-discord has
// no setting for the address of the API.

import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import tls from "node:tls";

const port = Number(process.env.TEST_DISCORD_PORT);
const { connect } = tls;
tls.connect = (...given) => {
  const [options] = given;
  if (options?.host !== "discord.com") return connect(...given);
  const socket = net.connect({ host: "127.0.0.1", port });
  socket.once("connect", () => socket.emit("secureConnect"));
  return socket;
};
syncBuiltinESMExports();
