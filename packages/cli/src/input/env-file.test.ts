// Files as editors and shells write them.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { readEnvFile } from "./env-file.ts";

const TEXT = "A=1\r\nB='ä 😀'\r\n";
const FORMS: Record<string, Buffer> = {
  "UTF-8": Buffer.from(TEXT),
  "UTF-8 with a mark": Buffer.from(`\ufeff${TEXT}`),
  "UTF-16 of Windows PowerShell": Buffer.from(`\ufeff${TEXT}`, "utf16le"),
  "UTF-16, high bytes first": Buffer.from(`\ufeff${TEXT}`, "utf16le").swap16(),
};
for (const [form, bytes] of Object.entries(FORMS)) {
  test(`an environment file in ${form} is read`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "env-file-"));
    try {
      writeFileSync(join(folder, ".env"), bytes);
      assert.deepEqual(await readEnvFile(join(folder, ".env")), { A: "1", B: "ä 😀" });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
