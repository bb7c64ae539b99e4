// What GitHub runs cannot run here, so it is checked: workflows by actionlint, pins, rights, and what the update bot watches.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "vitest";
import { parse } from "yaml";
import { actionlint } from "../../tests/helpers/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = join(root, ".github/workflows");
const workflows = readdirSync(folder).map((name) => ({
  name,
  text: readFileSync(join(folder, name), "utf8"),
}));

interface Job {
  permissions?: Record<string, string>;
  environment?: string;
  "timeout-minutes"?: number;
  uses?: string;
  steps?: { run?: string; with?: Record<string, unknown> }[];
}

const jobsOf = (text: string) => Object.entries((parse(text) as { jobs: Record<string, Job> }).jobs);

test("actionlint finds nothing", (context) => {
  const program = actionlint();
  if (program === undefined) return context.skip("Go is not installed");
  const { status, stdout, stderr } = spawnSync(
    program,
    ["-shellcheck=", "-pyflakes=", ...workflows.map(({ name }) => join(folder, name))],
    {
      cwd: root,
      encoding: "utf8",
    },
  );
  assert.equal(stdout + stderr, "");
  assert.equal(status, 0);
});

for (const { name, text } of workflows) {
  describe(name, () => {
    test("pins every action by commit and names its version", () => {
      for (const line of text.split("\n").filter((each) => /\buses:/.test(each)))
        assert.match(line, /uses: (\.\/|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)/);
    });

    test("may read alone, unless a job publishes", () => {
      assert.deepEqual((parse(text) as Job).permissions, { contents: "read" });
      for (const [job, { permissions, environment }] of jobsOf(text))
        if (permissions !== undefined) assert.equal(environment, "release", job);
    });

    test("ends each job in time, and puts no expression into a script", () => {
      for (const [job, { uses, steps = [], ...rest }] of jobsOf(text)) {
        if (uses === undefined) assert.ok(rest["timeout-minutes"], job);
        for (const { run } of steps) assert.doesNotMatch(run ?? "", /\$\{\{/, job);
      }
    });
  });
}

test("a script of package.json stands behind each `npm run` of CI", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const { text } of workflows)
    for (const [, script] of text.matchAll(/npm run ([\w:]+)/g))
      assert.ok(script && script in scripts, script);
});

test("a release publishes what the repository builds", () => {
  const text = readFileSync(join(folder, "release.yml"), "utf8");
  const containerfile = readFileSync(join(root, "deploy/images/Containerfile"), "utf8");
  const images = Object.fromEntries(jobsOf(text)).images as Job & {
    strategy: { matrix: { target: string[] } };
  };
  for (const target of images.strategy.matrix.target)
    assert.match(containerfile, new RegExp(` AS ${target}$`, "m"));
  assert.equal(images.steps?.find((step) => step.with?.target)?.with?.sbom, true);
  const chart = parse(readFileSync(join(root, "deploy/chart/Chart.yaml"), "utf8")) as { name: string };
  assert.ok(text.includes(`${chart.name}-$VERSION.tgz`));
});

test("the update bot watches every place with versions", () => {
  const { updates } = parse(readFileSync(join(root, ".github/dependabot.yml"), "utf8")) as {
    updates: { "package-ecosystem": string; directory?: string; directories?: string[] }[];
  };
  const file: Record<string, string> = {
    npm: "package-lock.json",
    pip: "pyproject.toml",
    gomod: "go.mod",
    docker: "Containerfile",
    "github-actions": ".github/workflows",
  };
  const watched = updates.flatMap(({ "package-ecosystem": kind, directory, directories }) =>
    (directories ?? [directory ?? ""]).map((place) => join(place, file[kind] ?? "?")),
  );
  for (const place of watched) assert.ok(existsSync(join(root, place)), place);
  const tracked = spawnSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).stdout.split("\n");
  const locks = tracked.filter((path) =>
    /(^|\/)(package-lock\.json|go\.mod|pyproject\.toml|Containerfile)$/.test(path),
  );
  assert.deepEqual(
    locks.filter((path) => !watched.includes(`/${path}`) && !path.startsWith("bench/")),
    [],
  );
});
