/** What `supabase functions deploy` uploads is the whole function: the real CLI, over a double of the management API. */
import assert from "node:assert/strict";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type ManagementApi,
  PROJECT_REF,
  startManagementApi,
} from "../../../tests/helpers/management-api.ts";
import { startDeno } from "../_shared/testing/deno.ts";
import { Upstream } from "../_shared/testing/upstream.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let management: ManagementApi;
let folder = "";

before(async () => {
  management = await startManagementApi();
  folder = await mkdtemp(join(tmpdir(), "deployed-api-"));
  await management.supabase("functions", "deploy", "api", "--use-api", `--remote=${PROJECT_REF}`);
});

after(async () => {
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
