// node healthcheck.mjs <variable that holds the port> <path>: exits 0 when the path answers 200. Plain JavaScript and the
// http module: it starts every few seconds, and fetch would take 15 MB more.
import { get } from "node:http";

const [variable = "PORT", path = "/"] = process.argv.slice(2);
const request = get({ host: "127.0.0.1", port: process.env[variable], path, timeout: 4000 }, (response) => {
  response.resume();
  process.exitCode = response.statusCode === 200 ? 0 : 1;
});
request.on("timeout", () => request.destroy(new Error("no answer")));
request.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
