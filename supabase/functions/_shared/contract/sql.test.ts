/** The contract against the migrations, as text: what must be equal in both. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { routes } from "../../api/routes/index.ts";
import { errorCodes } from "./errors.ts";
import { VERSION } from "./version.ts";

const folder = new URL("../../../migrations/", import.meta.url);
const sql = readdirSync(folder)
  .sort()
  .map((file) => readFileSync(new URL(file, folder), "utf8"))
  .join("\n");

/** The last definition of a function: its text from `create function` to the end of the statement. */
function definition(name: string): string {
  const start = Math.max(
    sql.lastIndexOf(`create function ${name}(`),
    sql.lastIndexOf(`create or replace function ${name}(`),
  );
  assert.notEqual(start, -1, `${name} is not in the migrations`);
  return sql.slice(start, start + 5000);
}

function parametersOf(name: string): string[] {
  const declared = definition(name).match(/\(([\s\S]*?)\)\s*returns/)?.[1] ?? "";
  return declared
    .split(",")
    .map((parameter) => /^\s*"?(\w+)"?\s/.exec(parameter)?.[1] ?? "")
    .filter((parameter) => parameter !== "");
}

describe("the contract and SQL", () => {
  it("have the same error codes with the same statuses", () => {
    const body = definition("private.error_codes").split(");")[0] ?? "";
    const inSql = Object.fromEntries(
      [...body.matchAll(/'([A-Z_]+)', (\d{3})/g)].map(([, code, status]) => [code, Number(status)]),
    );
    const inContract = Object.fromEntries(
      Object.entries(errorCodes).map(([code, { status }]) => [code, status]),
    );
    assert.deepEqual(inContract, inSql);
  });

  for (const { rpc, args, success } of routes) {
    it(`${rpc} takes the arguments the route gives and answers ${success.status}`, () => {
      assert.deepEqual(Object.keys(args).sort(), parametersOf(`public.${rpc}`).sort());
      const status = new RegExp(`\\('${rpc}', [^,]+, (\\d+),`).exec(sql)?.[1];
      assert.equal(Number(status), success.status);
    });
  }

  it("have the same version", () => {
    assert.equal(/return '([^']+)'/.exec(definition("private.version"))?.[1], VERSION);
  });

  it("know refuse_request by the same arguments", () => {
    assert.deepEqual(parametersOf("public.refuse_request"), ["code", "message", "details"]);
  });
});
