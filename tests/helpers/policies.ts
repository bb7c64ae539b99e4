// Policies as pg_policies prints them, how to change them piece by piece, and whether a matrix notices.
import assert from "node:assert/strict";
import type { TestDatabase } from "./database.ts";

export interface Policy {
  schema: string;
  table: string;
  name: string;
  /** The verb it is for, or ALL. */
  command: string;
  roles: string[];
  using: string | null;
  check: string | null;
}

/** The policies of a schema, or of all, in the order of their names. */
export async function policiesOf(db: TestDatabase, schema?: string): Promise<Policy[]> {
  const { rows } = await db.superuser.query<Policy>(
    `select schemaname as schema, tablename as table, policyname as name, cmd as command, roles::text[], qual as using, with_check as check
     from pg_policies where schemaname = coalesce($1, schemaname) order by 1, 2, 3`,
    [schema],
  );
  return rows;
}

/** A policy's name and table as SQL names them after `drop` and `alter`. */
export const on = ({ name, schema, table }: Policy) =>
  `policy "${name.replaceAll('"', '""')}" on ${schema}.${table}`;

/** The halves that a policy has: `using` of the rows that are there, `with check` of the new ones. */
export const halvesOf = ({ using, check }: Policy) =>
  [
    { half: "using", condition: using },
    { half: "with check", condition: check },
  ].filter((it): it is { half: string; condition: string } => it.condition !== null);

/** The operands of every AND and OR in an expression, inner ones first. No text in it may hold a bracket. */
export function operandsOf(expression: string): string[] {
  const found: string[] = [];
  const open: string[][] = [[""]];
  for (const token of expression.split(/([()]| AND | OR )/)) {
    const level = open.at(-1) ?? [];
    if (token === "(") open.push([""]);
    else if (/^ (AND|OR) $/.test(token)) level.push(token, "");
    else if (token !== ")") level.push(`${level.pop()}${token}`);
    else {
      open.pop();
      if (level.length > 1) found.push(...level.filter((_, place) => place % 2 === 0));
      const outer = open.at(-1);
      outer?.push(`${outer.pop()}(${level.join("")})`);
    }
  }
  return found;
}

/** What a matrix finds wrong after a mutation, as sentences. */
export type Judge = (mutation: string) => Promise<string[]>;

/** The mutations of which a matrix sees nothing. */
export async function overlooked(judge: Judge, mutations: string[]): Promise<string[]> {
  assert.ok(mutations.length > 0);
  const survived: string[] = [];
  for (const mutation of mutations) if ((await judge(mutation)).length === 0) survived.push(mutation);
  return survived;
}

/** What becomes of a policy when any operand of its conditions is true, or false, whatever the row. */
export const partsLost = (policy: Policy) =>
  halvesOf(policy).flatMap(({ half, condition }) =>
    operandsOf(condition).flatMap((operand) =>
      ["true", "false"].map((to) => `alter ${on(policy)} ${half} (${condition.replace(operand, to)})`),
    ),
  );

/** The policies whose loss a matrix of this process noticed. */
export const swept = new Set<string>();

/** Drops each of `policies` in turn: a matrix must tell what no longer works. */
export async function dropEach(judge: Judge, policies: Policy[]): Promise<void> {
  for (const policy of policies) {
    const found = await judge(`drop ${on(policy)}`);
    assert.ok(
      found.some((line) => / may not /.test(line)),
      `${policy.name}: ${found}`,
    );
    swept.add(on(policy));
  }
}

/** A policy beside the others, and none at all, let others read. */
export async function openTo(judge: Judge, table: string, what: string): Promise<void> {
  for (const mutation of [
    `create policy "mutant" on ${table} for all to authenticated using (true)`,
    `alter table ${table} disable row level security`,
  ]) {
    const found = await judge(mutation);
    assert.ok(
      found.some((line) => line.startsWith(what)),
      `${mutation}: ${found}`,
    );
  }
}
