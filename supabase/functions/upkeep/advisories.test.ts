import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import { lookUpDue } from "./advisories.ts";
import type { Database } from "./database.ts";
import { batches, type LookedUp, lookUp, type Target } from "./npm.ts";
import { type RuntimePackage, runtimePackages } from "./shipped.ts";

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
  it("finds advisories of exactly the version asked for", async () => {
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
  it("are those of this repository's lock files, without development", () => {
    const found = runtimePackages();
    assert.ok(found.some((p) => p.set === "model" && p.package === "ai"));
    assert.ok(found.some((p) => p.set === "eliza" && p.package === "@elizaos/core"));
    assert.ok(found.some((p) => p.package === "esbuild" && p.install_script));
    assert.ok(!found.some((p) => p.package === "typescript" && p.set === "model"));
    for (const { version } of found) assert.match(version, /^\d+\.\d+\.\d+\S*$/);
  });
});

describe("looking up what is due", () => {
  function upkeep(source: string | undefined, due: Target[][]) {
    const recorded: LookedUp[][] = [];
    const named: (readonly RuntimePackage[])[] = [];
    const lines: string[] = [];
    const database: Pick<Database, "claimAdvisories" | "recordAdvisories"> = {
      claimAdvisories: async (runtime) => {
        named.push(runtime);
        return due.shift() ?? [];
      },
      recordAdvisories: async (results) => void recorded.push([...results]),
    };
    const run = () =>
      lookUpDue(database as Database, source, (level, message, facts) =>
        lines.push(JSON.stringify({ level, message, ...facts })),
      );
    return { run, recorded, named, lines };
  }

  it("claims again until nothing is due, and names the runtime's packages each time", async () => {
    mode = "works";
    const { run, recorded, named } = upkeep(url, [[target("old-lib", "1.0.0")], [target("b", "1.0.0")]]);
    assert.deepEqual([await run(), await run(), await run()], [true, true, false]);
    assert.deepEqual(
      recorded.flat().map((r) => [r.package, "advisories" in r ? r.advisories.length : r.error]),
      [
        ["old-lib", 1],
        ["b", 0],
      ],
    );
    assert.deepEqual(
      named.map((runtime) => runtime.length),
      [1, 2, 3].map(() => runtimePackages().length),
    );
  });

  it("records that there is no source, and claims no more", async () => {
    const { run, recorded } = upkeep(undefined, [[target("a", "1.0.0")], [target("a", "1.0.0")]]);
    assert.equal(await run(), false);
    assert.match(JSON.stringify(recorded), /No advisory source is configured/);
  });

  it("records a source's failure, logs it, and claims no more", async () => {
    mode = "absent";
    const { run, recorded, lines } = upkeep(url, [[target("a", "1.0.0")], [target("a", "1.0.0")]]);
    assert.equal(await run(), false);
    assert.equal(recorded.length, 1);
    assert.match(lines.join(), /WARN.*Advisories are unavailable.*405/);
  });

  it("survives a database that does not answer", async () => {
    const lines: string[] = [];
    const broken = { claimAdvisories: () => Promise.reject(new Error("down")) } as unknown as Database;
    assert.equal(await lookUpDue(broken, undefined, (_level, message) => lines.push(message)), false);
    assert.deepEqual(lines, ["Advisories were not looked up"]);
  });
});
