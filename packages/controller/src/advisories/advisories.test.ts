import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import { createLog } from "../log.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import type { AdvisoryDatabase } from "./database.ts";
import { batches, type LookedUp, lookUp, type Target } from "./npm.ts";
import { closure, runtimePackages } from "./packages.ts";
import { AdvisoryRefresh } from "./refresh.ts";
import { advisoryUrl } from "./source.ts";

/** npm's bulk endpoint on the wire: POST {name: [versions]} → {name: [advisory]}; `mode` makes it misbehave. */
let mode: "works" | "absent" | "nonsense" = "works";
const asked: Record<string, string[]>[] = [];
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    if (mode === "absent") return response.writeHead(405).end();
    if (mode === "nonsense") return response.end("<html>");
    assert.equal(request.method, "POST");
    assert.equal(request.headers["content-type"], "application/json");
    const body = JSON.parse(text) as Record<string, string[]>;
    asked.push(body);
    const vulnerable = body["old-lib"]?.[0] === "1.0.0";
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify(
        vulnerable
          ? {
              "old-lib": [
                {
                  id: 1_090_123,
                  url: "https://github.com/advisories/GHSA-abcd-1234-wxyz",
                  title: "Prototype pollution in old-lib",
                  severity: "critical",
                  vulnerable_versions: "<1.2.0",
                  cwe: ["CWE-1321"],
                  cvss: { score: 9.8, vectorString: "CVSS:3.1/AV:N" },
                },
              ],
            }
          : {},
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/-/npm/v1/security/advisories/bulk`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const target = (name: string, version: string): Target => ({ package: name, version });

describe("looking packages up", () => {
  it("tells advisories of exactly the version asked for", async () => {
    mode = "works";
    asked.length = 0;
    const results = await lookUp(url, [
      target("old-lib", "1.0.0"),
      target("old-lib", "1.2.0"),
      target("sound", "3.0.0"),
    ]);
    const of = (version: string) => results.find((r) => r.package === "old-lib" && r.version === version);
    assert.deepEqual(of("1.0.0"), {
      package: "old-lib",
      version: "1.0.0",
      advisories: [
        {
          id: "GHSA-abcd-1234-wxyz",
          severity: "critical",
          title: "Prototype pollution in old-lib",
          url: "https://github.com/advisories/GHSA-abcd-1234-wxyz",
          vulnerable_versions: "<1.2.0",
        },
      ],
    });
    assert.deepEqual(of("1.2.0"), { package: "old-lib", version: "1.2.0", advisories: [] });
    assert.deepEqual(asked, [{ "old-lib": ["1.0.0"], sound: ["3.0.0"] }, { "old-lib": ["1.2.0"] }]);
  });

  for (const [how, message] of [
    ["absent", /answered 405/],
    ["nonsense", /something else/],
  ] as const) {
    it(`a source that is ${how} is an error of each package, never "clean"`, async () => {
      mode = how;
      const results = await lookUp(url, [target("a", "1.0.0"), target("b", "1.0.0")]);
      assert.equal(results.length, 2);
      for (const result of results) assert.match("error" in result ? result.error : "", message);
    });
  }

  it("so is one that cannot be reached", async () => {
    const [result] = await lookUp("http://127.0.0.1:9/", [target("a", "1.0.0")]);
    assert.match(result !== undefined && "error" in result ? result.error : "", /does not answer/);
  });

  it("makes batches in which no package comes twice", () => {
    const many = [target("a", "1"), target("a", "2"), target("b", "1"), target("c", "1")];
    const names = batches(many, 2).map((batch) => batch.map((t) => `${t.package}@${t.version}`));
    assert.deepEqual(names, [["a@1", "b@1"], ["c@1"], ["a@2"]]);
  });
});

describe("the packages of the runtime", () => {
  it("are found as Node finds them, nested first, without development", () => {
    const packages = {
      "": { dependencies: { tool: "1" } },
      "packages/x": { dependencies: { a: "^1", b: "^1" }, optionalDependencies: { missing: "1" } },
      "node_modules/a": { version: "1.0.0", dependencies: { b: "^2" } },
      "node_modules/a/node_modules/b": { version: "2.0.0" },
      "node_modules/b": { version: "1.0.0", hasInstallScript: true },
      "node_modules/tool": { version: "9.0.0", dev: true },
    };
    assert.deepEqual(
      closure(packages, "packages/x", "model").map((p) => [p.package, p.version, p.install_script]),
      [
        ["a", "1.0.0", false],
        ["b", "1.0.0", true],
        ["b", "2.0.0", false],
      ],
    );
  });

  it("come from this repository's lock files", () => {
    const found = runtimePackages();
    assert.ok(found.some((p) => p.set === "model" && p.package === "ai"));
    assert.ok(found.some((p) => p.set === "eliza" && p.package === "@elizaos/core"));
    assert.ok(!found.some((p) => p.package === "typescript" && p.set === "model"));
    for (const { version } of found) assert.match(version, /^\d+\.\d+\.\d+/);
  });
});

describe("the refresh", () => {
  function refresh(source: string | undefined, due: Target[][]) {
    const recorded: LookedUp[][] = [];
    const told: (number | null)[] = [];
    const lines: string[] = [];
    const database: AdvisoryDatabase = {
      targets: async (runtime) => {
        told.push(runtime?.length ?? null);
        return due.shift() ?? [];
      },
      record: async (results) => void recorded.push([...results]),
    };
    const clock = new SimulatedClock();
    const job = new AdvisoryRefresh({
      database,
      clock,
      random: () => 0.5,
      log: createLog((line) => lines.push(line), "info"),
      periodSeconds: 3600,
      packages: () => [{ set: "model", package: "a", version: "1.0.0", install_script: false }],
      source: async () => source,
    });
    return { job, clock, recorded, told, lines };
  }

  it("looks up what is due until nothing is", async () => {
    mode = "works";
    const { job, recorded, told } = refresh(url, [[target("old-lib", "1.0.0")], [target("b", "1.0.0")]]);
    await job.run();
    assert.deepEqual(
      recorded.flat().map((r) => [r.package, "advisories" in r ? r.advisories.length : r.error]),
      [
        ["old-lib", 1],
        ["b", 0],
      ],
    );
    assert.deepEqual(told, [1, null, null]);
  });

  it("records that there is no source, and says a lasting trouble once", async () => {
    const { job, recorded, lines } = refresh(undefined, [[target("a", "1.0.0")], [target("a", "1.0.0")]]);
    await job.run();
    await job.run();
    assert.match(JSON.stringify(recorded), /No advisory source is configured/);
    assert.equal(lines.filter((line) => line.includes("unavailable")).length, 1);
  });

  it("runs a minute after the start and then each period, until it is stopped", async () => {
    const { job, clock, told } = refresh(undefined, []);
    job.start();
    await clock.advance(59_000);
    assert.equal(told.length, 0);
    await clock.advance(2000);
    assert.equal(told.length, 1);
    await clock.advance(3600_000);
    assert.equal(told.length, 2);
    await job.stop();
    await clock.advance(7200_000);
    assert.equal(told.length, 2);
  });

  it("survives a database that is away", async () => {
    const { job, lines } = refresh(undefined, []);
    const broken = new AdvisoryRefresh({
      database: { targets: () => Promise.reject(new Error("away")), record: async () => {} },
      clock: new SimulatedClock(),
      random: () => 0.5,
      log: createLog((line) => lines.push(line), "info"),
      periodSeconds: 1,
      packages: () => [],
      source: async () => undefined,
    });
    await broken.run();
    assert.match(lines.join(""), /not refreshed/);
    await job.stop();
  });
});

describe("the source", () => {
  it("is the setting, or off", async () => {
    assert.equal(await advisoryUrl("https://example.com/x"), "https://example.com/x");
    assert.equal(await advisoryUrl("off"), undefined);
  });
});
