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
 * Packs folders and serves them, on a free port of this machine; of several with one name the last is the newest.
 * @param folder where the archives are put; null where there are none
 * @param packages folders with a package.json, as they are published
 */
export async function startRegistry(
  folder: string | null,
  packages: readonly string[],
): Promise<AsyncDisposable & { url: string; asked: string[]; fault: "none" | "away" | "altered" }> {
  if (folder !== null) mkdirSync(folder, { recursive: true });
  const documents = new Map<string, { latest: string; versions: Record<string, (url: string) => unknown> }>();
  for (const source of packages) {
    const args = ["pack", "--json", "--loglevel=error", "--pack-destination", folder ?? "."];
    const [packed] = JSON.parse(execFileSync("npm", args, { cwd: source, encoding: "utf8" })) as [Packed];
    const { name, version, filename } = packed;
    const integrity = `sha512-${createHash("sha512")
      .update(readFileSync(join(folder ?? "", filename)))
      .digest("base64")}`;
    const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
    const versions = documents.get(`/${name}`)?.versions ?? {};
    versions[version] = (url) => ({ ...manifest, dist: { tarball: `${url}-/${filename}`, integrity } });
    documents.set(`/${name}`, { latest: version, versions });
  }
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    asked.push(path);
    const archive = /^\/-\/([\w.-]+\.tgz)$/.exec(path)?.[1];
    const document = documents.get(path);
    if (registry.fault === "away") request.socket.destroy();
    else if (archive !== undefined) {
      const content = readFileSync(join(folder ?? "", archive));
      response.end(registry.fault === "altered" ? Buffer.concat([content, Buffer.alloc(1)]) : content);
    } else if (document !== undefined) {
      const { latest, versions } = document;
      const told = Object.entries(versions).map(([version, of]) => [version, of(url)] as const);
      const name = path.slice(1);
      response.end(JSON.stringify({ name, "dist-tags": { latest }, versions: Object.fromEntries(told) }));
    } else response.writeHead(404).end("{}");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const registry = {
    url,
    asked,
    fault: "none" as "none" | "away" | "altered",
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return registry;
}
