#!/usr/bin/env bash
# PostgreSQL 18 (and 17.10): EXPLAIN without ANALYZE runs a STABLE function that stands as a query's LIMIT, and a VOLATILE one not. The
# documentation of EXPLAIN says that the statement is executed with ANALYZE alone.
# https://www.postgresql.org/docs/18/sql-explain.html
# Cause: the planner estimates how many rows a LIMIT lets through, and computes stable functions for estimates. The same function as
# a column or in WHERE is not run.
# Consequence: a function that writes a log or takes long does so under EXPLAIN; and a row-level policy can refuse EXPLAIN
# (docs/adr/0128-query-guards-in-sql.md).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17 >/dev/null
cat >seen.mjs <<'END'
import { PGlite } from "@electric-sql/pglite";
const db = await PGlite.create();
console.log((await db.query("show server_version")).rows[0].server_version.split(".")[0]);
await db.exec(`
  create table t (n int);
  create function stable_one() returns bigint language plpgsql stable as $$ begin raise exception 'it runs'; end $$;
  create function volatile_one() returns bigint language plpgsql volatile as $$ begin raise exception 'it runs'; end $$;`);
for (const sql of [
  "select n from t limit stable_one()",
  "select n from t limit volatile_one()",
  "select n, stable_one() from t",
  "select n from t where (select stable_one()) = 1",
]) {
  const said = await db.query(`explain ${sql}`).then(() => "a plan", (error) => error.message);
  console.log(`explain ${sql}: ${said}`);
}
END
node seen.mjs | tee seen
cat >expected <<'END'
18
explain select n from t limit stable_one(): it runs
explain select n from t limit volatile_one(): a plan
explain select n, stable_one() from t: a plan
explain select n from t where (select stable_one()) = 1: a plan
END
diff expected seen && echo "as found"
