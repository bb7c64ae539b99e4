/** What `supabase functions deploy` uploads is the whole function: the real CLI, over a double of the management API. */
import assert from "node:assert/strict";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { inBackground, runMarked } from "../../../tests/helpers/doc-blocks.ts";
import {
  type ManagementApi,
  PROJECT_REF,
  startManagementApi,
} from "../../../tests/helpers/management-api.ts";
import { serveUpstream, startDeno } from "../_shared/testing/deno.ts";
import { Upstream } from "../_shared/testing/upstream.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const RUN = `SUPABASE_URL=http://127.0.0.1:54321 DENO_SERVE_ADDRESS=tcp:127.0.0.1:9000 \\
deno run --node-modules-dir=manual --no-remote --cached-only --no-lock --no-prompt \\
  --allow-net --allow-env --config supabase/functions/api/deno.json supabase/functions/api/index.ts`;

/** Of the function that the page runs locally. */
const local = new Upstream();
let management: ManagementApi;
let folder = "";

beforeAll(async () => {
  management = await startManagementApi();
  folder = await mkdtemp(join(tmpdir(), "deployed-api-"));
  const server = await serveUpstream(local);
  const log = join(folder, "deno.log");
  try {
    await runMarked("supabase/functions/README.md", import.meta.filename, {
      cwd: root,
      env: { ...management.env, SUPABASE_WORKDIR: management.project, DENO_NO_UPDATE_CHECK: "1" },
      replace: {
        // The page's reader has linked a project.
        "deploy api": `deploy api --remote=${PROJECT_REF}`,
        [RUN]: inBackground(
          RUN.replace(":54321", `:${(server.address() as AddressInfo).port}`).replace(":9000", ":0"),
          "Listening on http",
          log,
        ).concat(
          `\ncurl -s -H 'apikey: sb_publishable_client' "$(grep -oE 'http://127[0-9.:]+' "${log}")/api/agents"`,
        ),
      },
      timeoutMs: 60_000,
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

afterAll(async () => {
  await management.stop();
  await rm(folder, { recursive: true, force: true });
});

const uploaded = () => management.functions.get("api") ?? assert.fail("nothing was uploaded");

describe("a deployment", () => {
  it("names the entry point and the import map, and lets the function answer for bad tokens itself", () => {
    const { metadata } = uploaded();
    assert.equal(metadata.entrypoint_path, "supabase/functions/api/index.ts");
    assert.equal(metadata.import_map_path, "supabase/functions/api/deno.json");
    assert.equal(metadata.verify_jwt, false);
  });

  it("uploads neither tests nor their helpers", () => {
    const names = [...uploaded().files.keys()];
    assert.ok(names.length > 20);
    assert.deepEqual(
      names.filter((name) => /\.test\.ts$|testing/.test(name)),
      [],
    );
  });

  it("is of a function that the README starts on this machine as well", () => {
    assert.deepEqual(local.calls.length, 1);
  });

  it("uploads a function that runs", async () => {
    await management.unpack("api", folder);
    await cp(join(root, "package.json"), join(folder, "package.json"));
    await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
    const upstream = new Upstream();
    await using deno = await startDeno(folder, upstream);
    const response = await fetch(`${deno.url}/api/agents`, { headers: { apikey: "sb_publishable_client" } });
    assert.equal(response.status, 401);
    assert.equal(upstream.calls.length, 1);
  });
});
