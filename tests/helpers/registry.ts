// A registry of npm packages with nothing in it but the folders that a test gives it.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

interface Packed {
  name: string;
  version: string;
  filename: string;
}

/**
 * Packs folders and serves them as the newest versions of their packages, on a free port of this machine.
 * @param folder where the archives are put
 * @param packages folders with a package.json, as they are published
 */
export async function startRegistry(
  folder: string,
  packages: readonly string[],
): Promise<AsyncDisposable & { url: string }> {
  mkdirSync(folder, { recursive: true });
  const documents = new Map<string, (url: string) => unknown>();
  for (const source of packages) {
    const args = ["pack", "--json", "--loglevel=error", "--pack-destination", folder];
    const [packed] = JSON.parse(execFileSync("npm", args, { cwd: source, encoding: "utf8" })) as [Packed];
    const { name, version, filename } = packed;
    const integrity = `sha512-${createHash("sha512")
      .update(readFileSync(join(folder, filename)))
      .digest("base64")}`;
    const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
    documents.set(`/${name}`, (url) => ({
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { ...manifest, dist: { tarball: `${url}-/${filename}`, integrity } } },
    }));
  }
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    const archive = /^\/-\/([\w.-]+\.tgz)$/.exec(path)?.[1];
    const document = documents.get(path);
    if (archive !== undefined) response.end(readFileSync(join(folder, archive)));
    else if (document !== undefined) response.end(JSON.stringify(document(url)));
    else response.writeHead(404).end("{}");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
