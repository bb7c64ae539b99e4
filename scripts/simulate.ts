// `npm run simulate -- --seeds 10000`: the controller's simulations with more seeds than the tests run.
import { parseArgs } from "node:util";
import { simulations } from "../packages/controller/src/testing/simulations.ts";

const USAGE = `usage: npm run simulate -- [--seed N] [--seeds N] [--only TEXT]
  --seeds N    seeds 1 to N (default 1000); of rollouts, which take longest, a twenty-fifth of them
  --seed N     this one alone, as a failure names it; with --seeds, so many from this one on
  --only TEXT  simulations whose name holds the text:
${simulations.map(({ name }) => `                 ${name}\n`).join("")}`;

/** @throws {Error} saying what of the arguments is wrong */
function read() {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      seed: { type: "string" },
      only: { type: "string", default: "" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const number = (name: "seeds" | "seed") => {
    const value = Number(values[name] ?? 1);
    if (!Number.isSafeInteger(value) || value < 1)
      throw new Error(`--${name} must be a number from 1: ${values[name]}`);
    return values[name] === undefined ? undefined : value;
  };
  const wanted = simulations.filter(({ name }) => name.includes(values.only));
  if (wanted.length === 0) throw new Error(`No simulation's name holds "${values.only}".`);
  return { wanted, seed: number("seed"), seeds: number("seeds"), help: values.help };
}

function readOrSayHow(): ReturnType<typeof read> {
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

const { wanted, seed, seeds, help } = readOrSayHow();
if (help) process.stdout.write(USAGE);

for (const { name, run } of help ? [] : wanted) {
  const slow = name.startsWith("rollouts");
  const asked = seeds ?? (seed === undefined ? 1000 : 1);
  const count = slow ? Math.ceil(asked / 25) : asked;
  const begun = performance.now();
  try {
    await run(seed ?? 1, count);
  } catch (error) {
    process.exitCode = 1;
    process.stdout.write(`FAILED ${name}\n`);
    console.error(error);
    continue;
  }
  process.stdout.write(
    `passed ${name}: ${count} seeds in ${((performance.now() - begun) / 1000).toFixed(0)} s\n`,
  );
}
