/** What `supabase functions deploy` uploads of `respond` is all of it, the parts it shares with the runtime included. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { findDeno } from "../../../packages/stack/src/functions/discover.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const uploaded = new Map<string, string>();
let metadata: Record<string, unknown> = {};
let folder = "";

/** Takes a deployment as the management API does. */
const management = createServer(async (incoming, outgoing) => {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  if (incoming.method === "POST") {
    const form = await new Response(Buffer.concat(chunks), {
      headers: { "content-type": incoming.headers["content-type"] ?? "" },
    }).formData();
    for (const [name, part] of form) {
      if (name === "metadata") {
        metadata = JSON.parse(typeof part === "string" ? part : await part.text()) as typeof metadata;
      } else if (typeof part !== "string") uploaded.set(part.name, await part.text());
    }
  }
  const answer = {
    id: "1",
    slug: "respond",
    name: "respond",
    status: "ACTIVE",
    version: 1,
    created_at: 1,
    updated_at: 1,
  };
  outgoing.writeHead(incoming.method === "POST" ? 201 : 200, { "content-type": "application/json" });
  outgoing.end(JSON.stringify(incoming.method === "POST" ? answer : []));
});

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "deploy-respond-"));
  const project = join(folder, "project");
  await mkdir(join(project, "supabase"), { recursive: true });
  await mkdir(join(project, "packages/agent-runtime"), { recursive: true });
  for (const path of [
    "supabase/functions",
    "supabase/config.toml",
    "supabase/templates",
    "packages/agent-runtime/src",
  ]) {
    await cp(join(root, path), join(project, path), { recursive: true });
  }
  await once(management.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(management.address() as AddressInfo).port}`;
  const profile = join(folder, "profile.yaml");
  await writeFile(
    profile,
    `name: local\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: example.test\n`,
  );
  const ref = "a".repeat(20);
  const cli = spawn(
    join(root, "node_modules/.bin/supabase"),
    ["functions", "deploy", "respond", "--use-api", "--yes", "--project-ref", ref, "--profile", profile],
    {
      cwd: project,
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

describe("a deployment of respond", () => {
  it("lets the function judge its calls itself", () => {
    assert.equal(metadata.entrypoint_path, "supabase/functions/respond/index.ts");
    assert.equal(metadata.verify_jwt, false);
  });

  it("uploads what it imports, and neither tests nor their helpers", () => {
    const names = [...uploaded.keys()];
    assert.ok(
      names.some((name) => name.endsWith("engines/model/providers.ts")),
      names.join("\n"),
    );
    assert.deepEqual(
      names.filter((name) => /\.test\.ts$|testing/.test(name)),
      [],
    );
  });

  it("uploads a function that loads all it needs: signed, it takes the call and claims", {
    timeout: 30_000,
  }, async () => {
    const deployed = join(folder, "deployed");
    for (const [name, text] of uploaded) {
      const file = join(deployed, name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
    // The root's own names workspaces, which are not deployed.
    const { dependencies } = JSON.parse(
      await readFile(join(root, "packages/agent-runtime/package.json"), "utf8"),
    );
    await writeFile(join(deployed, "package.json"), JSON.stringify({ type: "module", dependencies }));
    await symlink(join(root, "node_modules"), join(deployed, "node_modules"), "dir");
    const claimed = Promise.withResolvers<string>();
    const database = createServer((request, response) => {
      claimed.resolve(`${request.url} ${request.headers.apikey}`);
      response.setHeader("content-type", "application/json").end("[]");
    });
    await once(database.listen(0, "127.0.0.1"), "listening");
    const deno = spawn(
      findDeno(),
      [
        ...["run", "--node-modules-dir=manual", "--no-remote", "--cached-only", "--no-lock", "--no-prompt"],
        ...["--allow-net", "--allow-env", "--allow-sys=hostname", "--allow-read"],
        ...["--config", "supabase/functions/respond/deno.json", "supabase/functions/respond/index.ts"],
      ],
      {
        cwd: deployed,
        env: {
          SUPABASE_URL: `http://127.0.0.1:${(database.address() as AddressInfo).port}`,
          SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
          LAUNCHPAD_RESPOND_SECRET: "shared",
          DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0",
          DENO_NO_UPDATE_CHECK: "1",
          NO_COLOR: "1",
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    try {
      const address = Promise.withResolvers<string>();
      const lines: string[] = [];
      for (const stream of [deno.stdout, deno.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          lines.push(line);
          const url = /Listening on (http:\/\/[^/ ]+)/.exec(line)?.[1];
          if (url !== undefined) address.resolve(url);
          if (line.includes('"ERROR"')) claimed.resolve(line);
        });
      }
      deno.once("exit", () => address.reject(new Error(lines.join("\n"))));
      const at = String(Math.floor(Date.now() / 1000));
      const signature = `v1=${createHmac("sha256", "shared").update(`${at}.{}`).digest("hex")}`;
      const response = await fetch(`${await address.promise}/respond`, {
        method: "POST",
        body: "{}",
        headers: { "x-launchpad-timestamp": at, "x-launchpad-signature": signature },
      });
      assert.equal(response.status, 202, await response.text());
      assert.equal(await claimed.promise, "/rest/v1/rpc/claim_replies sb_secret_x", lines.join("\n"));
    } finally {
      if (deno.exitCode === null && deno.kill()) await once(deno, "exit");
      database.closeAllConnections();
      database.close();
    }
  });
});
