// Writes docs/errors.md from the contract; with --check it fails where the committed file differs.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorCodes } from "../supabase/functions/_shared/contract/errors.ts";

const file = fileURLToPath(new URL("../docs/errors.md", import.meta.url));
const rows = Object.entries(errorCodes).map(
  ([code, { status, description, remedy }]) => `| \`${code}\` | ${status} | ${description} | ${remedy} |`,
);
const text = `# Errors

One list for every way in. \`/api\` answers with the envelope \`{"error": {code, message, timestamp, requestId, user_id,
supabase_details, details?}}\`, PostgREST (\`/rest/v1\`, RPCs) with \`{code, message, details, hint}\`, where \`details\` is a
JSON text of field → problem; GraphQL with \`errors[].extensions.code\`. Every answer of \`/api\` carries \`x-request-id\`.
\`node scripts/errors.ts\` writes this page from the contract.

| code | status | when | what helps |
|---|---|---|---|
${rows.join("\n")}
`;

if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== text) {
    process.stderr.write("docs/errors.md is not current: run node scripts/errors.ts\n");
    process.exit(1);
  }
} else {
  writeFileSync(file, text);
}
