/** Writes docs/openapi.json from the contract; with --check, fails where the committed file differs. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openApiText } from "../supabase/functions/_shared/openapi.ts";
import { routes } from "../supabase/functions/api/routes/index.ts";

const file = fileURLToPath(new URL("../docs/openapi.json", import.meta.url));
const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
const wanted = openApiText(routes);

if (!values.check) {
  writeFileSync(file, wanted);
} else if (committed() !== wanted) {
  console.error(
    "docs/openapi.json is not what the contract says: run `node scripts/openapi.ts` and commit it",
  );
  process.exitCode = 1;
}

function committed(): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
