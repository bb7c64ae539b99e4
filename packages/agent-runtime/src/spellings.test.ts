import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "vitest";
import { redact } from "./log.ts";
import { secretSpellings } from "./spellings.ts";

/** Every character that some way of writing changes. */
const SECRET = `s3cr/et+ü "q'uoted"\\<tag>&=?#%$(x)*!~ñ€🔑\tend`;

/** How libraries write a value: name → text that holds it. */
const writings: Record<string, (secret: string) => string> = {
  "as it is": (s) => `token ${s} was refused`,
  "in JSON": (s) => JSON.stringify({ token: s }),
  "in JSON in JSON": (s) => JSON.stringify({ line: JSON.stringify({ token: s }) }),
  "in a query": (s) => `https://x.example/?key=${encodeURIComponent(s)}`,
  "in a query, lower-case": (s) => encodeURIComponent(s).replaceAll(/%../g, (c) => c.toLowerCase()),
  "in a URL that was encoded whole": (s) => encodeURI(`https://x.example/${s}`),
  "in a form": (s) => new URLSearchParams({ key: s }).toString(),
  inspected: (s) => inspect({ key: s }),
  "in HTML": (s) =>
    s
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;"),
  "in hexadecimal": (s) => Buffer.from(s).toString("hex"),
  "in Base64": (s) => Buffer.from(s).toString("base64"),
  "in Base64 for URLs": (s) => Buffer.from(s).toString("base64url"),
  "as Basic credentials": (s) => `Basic ${Buffer.from(`user:${s}`).toString("base64")}`,
  "as Basic credentials of another user": (s) => `Basic ${Buffer.from(`me:${s}`).toString("base64")}`,
  "in Base64 with what follows": (s) => Buffer.from(`ab${s}:rest`).toString("base64"),
};
for (const [name, write] of Object.entries(writings)) {
  test(`a secret ${name} is masked`, () => {
    const clean = redact(write(SECRET), [SECRET]);
    assert.match(clean, /\[secret\]/, clean);
    // What remains of Base64 are the characters that its neighbours share: a byte at most.
    assert.ok(clean.replace("[secret]", "").length < write("").length + 12, clean);
  });
}

for (const key of [
  "sk-proj-0123456789abcdefWXYZ",
  "sk-proj-0123456789abcdefWXYZ0",
  "sk-proj-0123456789abcdefWXYZ01",
]) {
  for (const before of ["", ":", "me:"]) {
    for (const after of ["", "\n"]) {
      for (const form of ["base64", "base64url"] as const) {
        const rest = { before, after, form, length: key.length };
        test(`nothing of a key's end stays behind in Base64: ${JSON.stringify(rest)}`, () => {
          const clean = redact(Buffer.from(`${before}${key}${after}`).toString(form), [key]);
          // A line's end adds characters that are not the key's.
          assert.match(clean, after === "" ? /\[secret\]=*$/ : /\[secret\](o|K|Cg)?=*$/);
        });
      }
    }
  }
}

test("an ordinary key has few spellings, and none that ordinary words hold", () => {
  const spellings = secretSpellings("sk-1234567890abcdef");
  assert.ok(spellings.length < 12, String(spellings.length));
  assert.equal(
    redact("the quick brown fox, 0123456789abcdef, YWJjZGVm", ["sk-1234567890abcdef"]).includes("[secret]"),
    false,
  );
});

test("a lone surrogate in a secret breaks nothing", () => {
  assert.ok(secretSpellings("a\ud800bcdefghij").includes("a\ud800bcdefghij"));
});

test("a hundred secrets cost a line little", () => {
  const secrets = Array.from({ length: 100 }, (_, n) => `sk-${n}-abcdefghijklmnopqrstuvwxyz`);
  redact("warm", secrets);
  const line = "an ordinary line of two hundred characters ".repeat(5);
  // What else this process does, such as compiling, only adds: the quickest of some rounds is the cost.
  const rounds = Array.from({ length: 10 }, () => {
    const began = process.cpuUsage();
    for (let n = 0; n < 4; n++) redact(line, secrets);
    return process.cpuUsage(began).user / 4000;
  });
  assert.ok(Math.min(...rounds) < 20, `${rounds} ms`);
});
