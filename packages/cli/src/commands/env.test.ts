import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { parseEnv } from "node:util";
import { test } from "vitest";
import { lines } from "./env.ts";

const odd = { A_URL: "http://127.0.0.1:1", ODD: `it's $HOME "and" \\ more` };

test("a shell that evaluates the lines has the values, whatever characters they hold", () => {
  const { stdout } = spawnSync("sh", ["-c", `${lines(odd, "sh")}printf '%s|%s' "$A_URL" "$ODD"`], {
    encoding: "utf8",
  });
  assert.equal(stdout, `${odd.A_URL}|${odd.ODD}`);
});

test("dotenv lines are read as they were for plain values", () => {
  assert.deepEqual(
    { ...parseEnv(lines({ A_URL: odd.A_URL, KEY: "sb_publishable_x-y" }, "dotenv")) },
    {
      A_URL: odd.A_URL,
      KEY: "sb_publishable_x-y",
    },
  );
});

test("fish has its own words", () => {
  assert.equal(lines({ A: "it's" }, "fish"), "set -gx A 'it\\'s'\n");
});
