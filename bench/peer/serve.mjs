// Starts the peer on a free port with a data folder and says where it listens. Plain JavaScript: run by path.
import { createServer } from "node:net";
import { AgentServer } from "@elizaos/server";

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const port = await free();
const server = new AgentServer();
await server.start({ port, dataDir: process.argv[2], isTestMode: false });
process.stdout.write(`{"peer":${port}}\n`);
process.stdin.on("end", () => process.exit(0)).resume();
