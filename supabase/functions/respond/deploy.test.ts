/** What `supabase functions deploy` uploads of `respond` is all of it, the parts it shares with the runtime included. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { findDeno } from "../../../packages/local-supabase/src/functions/discover.ts";
import { runMarked } from "../../../tests/helpers/doc-blocks.ts";
import {
  type ManagementApi,
  PROJECT_REF,
  startManagementApi,
} from "../../../tests/helpers/management-api.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let management: ManagementApi;
let folder = "";

beforeAll(async () => {
  management = await startManagementApi(["packages/agent-runtime/src"]);
  folder = await mkdtemp(join(tmpdir(), "deployed-respond-"));
  await runMarked("docs/answering.md", import.meta.filename, {
    cwd: management.project,
    env: management.env,
    // The page's reader has linked a project.
    replace: {
      "deploy respond": `deploy respond --remote=${PROJECT_REF}`,
      "secrets set": `secrets set --remote=${PROJECT_REF}`,
      "OPENAI_API_KEY=…": "OPENAI_API_KEY=sk-a",
    },
    timeoutMs: 60_000,
  });
});

afterAll(async () => {
  await management.stop();
  await rm(folder, { recursive: true, force: true });
});

const uploaded = () => management.functions.get("respond") ?? assert.fail("nothing was uploaded");

describe("a deployment of respond", () => {
  it("lets the function judge its calls itself", () => {
    const { metadata } = uploaded();
    assert.equal(metadata.entrypoint_path, "supabase/functions/respond/index.ts");
    assert.equal(metadata.verify_jwt, false);
  });

  it("has its secrets", () => {
    assert.equal(management.secrets.get("OPENAI_API_KEY"), "sk-a");
    assert.equal(Buffer.from(management.secrets.get("LAUNCHPAD_RESPOND_SECRET") ?? "", "base64").length, 32);
  });

  it("uploads what it imports, and neither tests nor their helpers", () => {
    const names = [...uploaded().files.keys()];
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
    await management.unpack("respond", folder);
    // The root's own names workspaces, which are not deployed.
    const { dependencies } = JSON.parse(
      await readFile(join(root, "packages/agent-runtime/package.json"), "utf8"),
    );
    await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module", dependencies }));
    await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
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
        cwd: folder,
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
