import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { glob } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { describe, test } from "vitest";
import { anchorsOf, relativeLinks } from "./doc-links.ts";

const root = join(import.meta.dirname, "../..");
const notOurs = /(^|\/)(node_modules|\.[^/]+)(\/|$)/;
const pages = (
  await Array.fromAsync(glob("**/*.md", { cwd: root, exclude: (path) => notOurs.test(path) }))
).sort();

describe("links and anchors are read as GitHub reads them", () => {
  test("links", () => {
    const page = "[a](x.md#y) [b](https://z) `[c](no)` ![d](<e.png>)\n```\n[f](no)\n```\n[g]: h.md\n";
    assert.deepEqual(relativeLinks(page), [
      { line: 1, target: "x.md#y" },
      { line: 1, target: "e.png" },
      { line: 5, target: "h.md" },
    ]);
  });

  test("anchors", () => {
    const page = '# A `b` & C!\n## Twice\n## Twice\n```\n# no\n```\n<a id="own"></a>\n### Über [uns](x.md)\n';
    assert.deepEqual([...anchorsOf(page)], ["a-b--c", "twice", "twice-1", "own", "über-uns"]);
  });
});

describe("every relative link leads somewhere", () => {
  for (const page of pages) {
    test(page, () => {
      const broken = relativeLinks(readFileSync(join(root, page), "utf8")).filter(
        ({ target }) => !leads(page, target),
      );
      assert.deepEqual(broken, []);
    });
  }
});

test("the proofs that docs/security.md names are files", async () => {
  const files = await Array.fromAsync(
    glob("{packages,supabase,tests}/**/*.ts", { cwd: root, exclude: (path) => notOurs.test(path) }),
  );
  const named = readFileSync(join(root, "docs/security.md"), "utf8").matchAll(/`([\w./-]+\/[\w.-]+\.ts)`/g);
  const proofs = [...named].map(([, file = ""]) => file);
  assert.ok(proofs.length > 50, `${proofs.length} proofs`);
  assert.deepEqual(
    proofs.filter((proof) => !files.some((file) => file === proof || file.endsWith(`/${proof}`))),
    [],
  );
});

function leads(page: string, target: string): boolean {
  const [path = "", anchor] = decodeURIComponent(target).split("#", 2);
  const file = path === "" ? page : normalize(join(dirname(page), path));
  if (file.startsWith("..") || !existsSync(join(root, file))) return false;
  if (anchor === undefined || anchor === "") return true;
  if (statSync(join(root, file)).isDirectory() || extname(file) !== ".md") return false;
  return anchorsOf(readFileSync(join(root, file), "utf8")).has(anchor);
}
