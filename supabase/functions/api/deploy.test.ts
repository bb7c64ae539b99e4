/** What `supabase functions deploy` uploads is the whole function: the real CLI, over a double of the management API. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { startDeno } from "../_shared/testing/deno.ts";
import { Upstream } from "../_shared/testing/upstream.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const uploaded = new Map<string, string>();
let metadata: Record<string, unknown> = {};

/** Takes a deployment as the management API does. */
const management = createServer(async (incoming, outgoing) => {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  if (incoming.method === "POST") {
    const form = await new Response(Buffer.concat(chunks), {
      headers: { "content-type": incoming.headers["content-type"] ?? "" },
    }).formData();
    for (const [name, part] of form) {
      if (name === "metadata")
        metadata = JSON.parse(typeof part === "string" ? part : await part.text()) as typeof metadata;
      else if (typeof part !== "string") uploaded.set(part.name, await part.text());
    }
  }
  const answer = {
    id: "1",
    slug: "api",
    name: "api",
    status: "ACTIVE",
    version: 1,
    created_at: 1,
    updated_at: 1,
  };
  outgoing.writeHead(incoming.method === "POST" ? 201 : 200, { "content-type": "application/json" });
  outgoing.end(JSON.stringify(incoming.method === "POST" ? answer : []));
});

let folder = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "deploy-"));
  await mkdir(join(folder, "project", "supabase"), { recursive: true });
  await cp(join(root, "supabase", "functions"), join(folder, "project", "supabase", "functions"), {
    recursive: true,
  });
  // The configuration names the mails' templates, and the CLI reads them whatever it is asked to do.
  for (const part of ["config.toml", "templates"]) {
    await cp(join(root, "supabase", part), join(folder, "project", "supabase", part), { recursive: true });
  }
  await once(management.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(management.address() as AddressInfo).port}`;
  const profile = join(folder, "profile.yaml");
  await writeFile(
    profile,
    `name: local\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: example.test\n`,
  );
  const cli = spawn(
    join(root, "node_modules", ".bin", "supabase"),
    [
      "functions",
      "deploy",
      "api",
      "--use-api",
      "--yes",
      "--project-ref",
      "a".repeat(20),
      "--profile",
      profile,
    ],
    {
      cwd: join(folder, "project"),
      env: {
        ...process.env,
        HOME: folder,
        SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}`,
        DO_NOT_TRACK: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [cli.stdout, cli.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk));
  const [code] = (await once(cli, "close")) as [number];
  assert.equal(code, 0, output);
});

after(async () => {
  management.closeAllConnections();
  management.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a deployment", () => {
  it("names the entry point and the import map, and lets the function answer for bad tokens itself", () => {
    assert.equal(metadata.entrypoint_path, "supabase/functions/api/index.ts");
    assert.equal(metadata.import_map_path, "supabase/functions/api/deno.json");
    assert.equal(metadata.verify_jwt, false);
  });

  it("uploads neither tests nor their helpers", () => {
    assert.ok(uploaded.size > 20);
    assert.deepEqual(
      [...uploaded.keys()].filter((name) => /\.test\.ts$|testing/.test(name)),
      [],
    );
  });

  it("uploads a function that runs", async () => {
    for (const [name, text] of uploaded) {
      const file = join(folder, "deployed", name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
    await cp(join(root, "package.json"), join(folder, "deployed", "package.json"));
    await symlink(join(root, "node_modules"), join(folder, "deployed", "node_modules"), "dir");
    const upstream = new Upstream();
    await using deno = await startDeno(join(folder, "deployed"), upstream);
    const response = await fetch(`${deno.url}/api/agents`, { headers: { apikey: "sb_publishable_client" } });
    assert.equal(response.status, 401);
    assert.equal(upstream.calls.length, 1);
  });
});
