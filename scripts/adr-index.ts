// Writes docs/adr/README.md, the list of decisions; with --check it fails where the committed one differs.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folder = resolve(import.meta.dirname, "../docs/adr");
const index = join(folder, "README.md");

const rows = readdirSync(folder)
  .filter((name) => /^\d{4}-.*\.md$/.test(name))
  .sort()
  .map((name) => {
    const title = /^# (?:\d+\.? )?(.+)$/m.exec(readFileSync(join(folder, name), "utf8"))?.[1];
    if (title === undefined) throw new Error(`docs/adr/${name} has no title`);
    return `- [${name.slice(0, 4)}](${name}) ${title}`;
  });
const text = `# Decisions\n\nOne short page each: what was decided, and why. \`node scripts/adr-index.ts\` writes this list.\n\n${rows.join("\n")}\n`;

if (process.argv.includes("--check")) {
  if (readFileSync(index, "utf8") !== text) {
    process.stderr.write("docs/adr/README.md is not current: run node scripts/adr-index.ts\n");
    process.exit(1);
  }
} else {
  writeFileSync(index, text);
}
