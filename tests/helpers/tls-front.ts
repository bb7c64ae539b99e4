// A server with a certificate of a private authority in front of a plain one, as a company's own project has it.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";

export interface TlsFront extends AsyncDisposable {
  url: string;
  /** File of the authority's certificate. */
  ca: string;
}

/** Why there can be none; undefined where there can. */
export const whyNoTlsFront =
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "openssl is not installed";

/** Starts it on a free port of loopback, with an authority made for it alone. */
export async function startTlsFront(target: string): Promise<TlsFront> {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-tls-"));
  const file = (name: string) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const made = spawnSync("openssl", [
    ...["req", "-x509", ...key, "-keyout", file("key.pem"), "-out", file("ca.crt")],
    ...["-subj", "/CN=A company", "-addext", "subjectAltName=IP:127.0.0.1"],
  ]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  const { hostname, port } = new URL(target);
  const open = new Set<TLSSocket>();
  const server = createServer(
    { key: readFileSync(file("key.pem")), cert: readFileSync(file("ca.crt")) },
    (near) => {
      const far = connect(Number(port), hostname);
      open.add(near);
      near.pipe(far).pipe(near);
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
      near.once("close", () => {
        open.delete(near);
        far.destroy();
      });
    },
  );
  // Callers that do not trust the authority end the handshake.
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: file("ca.crt"),
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
