// The images: linted, built by the documentation's own commands (with buildah in the place of Docker), and started.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { runBlocks, runMarked } from "../helpers/doc-blocks.ts";
import { ImageBuilder, type ImageConfig, unbuildable } from "../helpers/images.ts";
import { hadolint } from "../helpers/tools.ts";

/** What the controller would read the figures with. */
const PROBE_KEY = "p".repeat(64);
const root = resolve(import.meta.dirname, "../..");
const containerfile = join(root, "deploy/images/Containerfile");

const linter = hadolint();
test("hadolint finds nothing", { skip: linter === undefined }, () => {
  const { status, stdout } = spawnSync(linter as string, ["--failure-threshold=style", containerfile], {
    encoding: "utf8",
  });
  assert.equal(stdout, "");
  assert.equal(status, 0);
});

test("base images are pinned to the digest, Node to the version of the tests", () => {
  const text = readFileSync(containerfile, "utf8");
  const bases = [...text.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(([, image]) => image as string);
  assert.equal(bases.length, 2);
  for (const image of bases) assert.match(image, /^[^@]+:[^@]+@sha256:[a-f0-9]{64}$/);
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.ok(bases[0]?.includes(`/node:${devDependencies.node}-`), "the package `node` and the image differ");
});

const IMAGES = {
  controller: "registry.example.com/launchpad/controller:0.2.0",
  "agent-runtime": "registry.example.com/launchpad/agent-runtime:0.2.0",
  "agent-runtime-eliza": "agent-runtime-eliza",
};
type Image = keyof typeof IMAGES;
/** Megabytes of an image's files, on the stand-in of its base (which is 20 MB smaller than the real one). */
const MOST: Record<Image, number> = { controller: 215, "agent-runtime": 170, "agent-runtime-eliza": 370 };

const reason = unbuildable();
describe("built", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  let builder: ImageBuilder;
  const built = {} as Record<Image, { files: string; config: ImageConfig }>;

  beforeAll(async () => {
    builder = new ImageBuilder();
    const options = {
      cwd: root,
      env: process.env,
      replace: { "docker build": builder.command },
      timeoutMs: 600_000,
    };
    await runMarked("docs/operations.md", import.meta.filename, options);
    const eliza = `docker build -f deploy/images/Containerfile --target agent-runtime-eliza -t agent-runtime-eliza .\n`;
    const [outcome] = await runBlocks([{ line: 0, info: "", text: eliza }], options);
    assert.ok(outcome?.ran, outcome?.output.slice(-3000));
    for (const [name, image] of Object.entries(IMAGES)) {
      built[name as Image] = { files: builder.files(image), config: builder.config(image) };
    }
  });
  afterAll(() => builder?.[Symbol.asyncDispose]());

  for (const name of Object.keys(IMAGES) as Image[]) {
    test(`${name}: not root, no shell, no npm on the path, no tests, no local data, no larger than it should be`, () => {
      const { config, files } = built[name];
      assert.match(config.User, /^65532/);
      const all = walk(files);
      const own = all.filter((file) => !file.includes("node_modules/") && file.startsWith("app/"));
      for (const file of own) {
        assert.doesNotMatch(file, /\.test\.ts$|\/testing\/|(^|\/)\.env|\.launchpad|\.git\//, file);
      }
      for (const program of ["bin/sh", "usr/local/bin/npm", "usr/bin/apt-get"]) {
        assert.ok(!existsSync(join(files, program)), program);
      }
      const bytes = all.reduce((sum, file) => sum + statSync(join(files, file)).size, 0);
      console.info(`${name}: ${(bytes / 1e6).toFixed(0)} MB in ${all.length} files`);
      assert.ok(bytes < MOST[name] * 1e6, `${bytes} bytes`);
    });

    test(`${name}: every package is one that runs, none that only develops`, () => {
      const { files } = built[name];
      const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
      const found = packagesIn(join(files, "app")).filter(
        (path) => !path.startsWith("packages/agent-runtime/eliza/"),
      );
      assert.ok(found.length > 5);
      for (const path of found) {
        assert.ok(path in lock, `${path} is not in the lock file`);
        assert.notEqual(lock[path].dev, true, `${path} is for development`);
      }
    });
  }

  for (const [name, plugins] of [
    ["agent-runtime", []],
    ["agent-runtime-eliza", ["@elizaos/plugin-openai"]],
  ] as const) {
    test(`${name}: becomes ready on a read-only root, and ends on SIGTERM`, {
      timeout: 60_000,
    }, async (context) => {
      const { config, files } = built[name];
      const agent = builder.start(
        files,
        config,
        {
          AGENT_JSON: JSON.stringify({ agentId: "a", name: "a", plugins }),
          AGENT_CONFIG_FILE: "/config/agent.json",
          AGENT_STATE_DIR: "/state",
          HOST: "127.0.0.1",
          PORT: "0",
          AGENT_PROBE_KEY: PROBE_KEY,
          OPENAI_API_KEY: "not-a-key",
        },
        ["/config", "/state"],
      );
      const ended = once(agent, "exit");
      context.onTestFinished(async () => {
        await agent.kill("SIGKILL");
      });
      let line: { metadata: { port: number; milliseconds: number } } | undefined;
      let said = "";
      agent.stderr?.setEncoding("utf8").on("data", (text) => (said += text));
      for await (const text of createInterface({ input: agent.stdout as NodeJS.ReadableStream })) {
        said += `${text}\n`;
        if (!text.includes('"message":"listening"')) continue;
        line = JSON.parse(text);
        break;
      }
      assert.ok(line, said);
      const url = `http://127.0.0.1:${line.metadata.port}`;
      assert.deepEqual(await (await fetch(`${url}/ready`)).json(), { status: "ready" });
      const memory = Number(
        /^process_resident_memory_bytes (\d+)/m.exec(
          await (await fetch(`${url}/metrics`, { headers: { "x-launchpad-probe": PROBE_KEY } })).text(),
        )?.[1],
      );
      console.info(
        `${name}: listens after ${line.metadata.milliseconds} ms, ${(memory / 1e6).toFixed(0)} MB resident`,
      );
      const check = [
        process.execPath,
        join(root, "deploy/images/healthcheck.mjs"),
        "PORT",
        "/ready",
      ] as const;
      const health = () =>
        spawnSync(check[0], check.slice(1), { env: { PORT: String(line.metadata.port) } }).status;
      assert.equal(health(), 0);
      agent.kill("SIGTERM");
      assert.deepEqual(await ended, [0, null]);
      assert.equal(health(), 1);
    });
  }

  test("controller: Node runs npm by its file, in a folder of the volume", async () => {
    const { config, files } = built.controller;
    const program = config.Env.find((text) => text.startsWith("LAUNCHPAD_NPM="))?.slice(
      "LAUNCHPAD_NPM=".length,
    );
    const command = [config.Entrypoint[0] as string, program as string, "--version"];
    const { code, out } = await finished(
      builder.exec(files, config, command, { HOME: "/store" }, ["/store"]),
    );
    assert.match(out, /^\d+\.\d+\.\d+\n/);
    assert.equal(code, 0);
  });

  test("controller: says which settings are missing", async () => {
    const { config, files } = built.controller;
    const { code, out } = await finished(builder.start(files, config, {}, ["/state"]));
    assert.equal(code, 1);
    assert.match(out, /LAUNCHPAD_SUPABASE_URL/);
  });

  test("controller: prints ready on a read-only root, and ends on SIGTERM", {
    timeout: 60_000,
  }, async (context) => {
    const { config, files } = built.controller;
    const controller = builder.start(
      files,
      config,
      {
        // Nobody answers there: being up needs no database.
        LAUNCHPAD_SUPABASE_URL: "http://127.0.0.1:1",
        LAUNCHPAD_SECRET_KEY: "a-key",
        LAUNCHPAD_PUBLISHABLE_KEY: "another-key",
        LAUNCHPAD_WEBHOOK_SECRET: "0123456789abcdef",
        LAUNCHPAD_STATE_DIR: "/state/controller",
        LAUNCHPAD_ADVISORY_URL: "off",
        LAUNCHPAD_HOST: "127.0.0.1",
        LAUNCHPAD_PORT: "0",
        LAUNCHPAD_INGRESS_PORT: "0",
      },
      ["/state"],
    );
    context.onTestFinished(async () => {
      await controller.kill("SIGKILL");
    });
    controller.stderr?.resume();
    const ended = once(controller, "exit");
    const [first] = await once(
      createInterface({ input: controller.stdout as NodeJS.ReadableStream }),
      "line",
    );
    const { event, port } = JSON.parse(first);
    assert.equal(event, "ready");
    assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
    assert.equal(ready.status, 503, "without its database it is not ready");
    controller.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });
});

async function finished(
  child: ReturnType<ImageBuilder["start"]>,
): Promise<{ code: number | null; out: string }> {
  let out = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => {
      out += text;
    });
  }
  const [code] = await once(child, "close");
  return { code, out };
}

/** The files below a folder; links are not followed. */
function walk(folder: string, prefix = ""): string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = join(prefix, entry.name);
    if (entry.isDirectory()) return walk(folder, path);
    return entry.isFile() ? [path] : [];
  });
}

/** The folders of installed packages, as the lock file names them. */
function packagesIn(app: string): string[] {
  return walk(app)
    .filter((file) => /(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(file))
    .map((file) => file.slice(0, -"/package.json".length));
}
