// `npm run simulate -- --seeds 10000`: the controller's simulations with more seeds than the tests run.
//   --seeds N   seeds 1 to N (default 1000); of rollouts, which take longest, a twenty-fifth of them
//   --seed N    this one alone, as a failure names it
//   --only TEXT simulations whose name holds the text
import { parseArgs } from "node:util";
import { simulations } from "../packages/controller/src/testing/simulations.ts";

const { values } = parseArgs({
  options: { seeds: { type: "string" }, seed: { type: "string" }, only: { type: "string", default: "" } },
});
const numbers = [values.seeds ?? "1000", values.seed ?? "1"].map(Number);
const wanted = simulations.filter(({ name }) => name.includes(values.only));
if (!numbers.every((number) => Number.isInteger(number) && number > 0) || wanted.length === 0) {
  process.stderr.write("usage: npm run simulate -- [--seeds N | --seed N] [--only TEXT]\n");
  process.exit(2);
}
const [seeds = 1, seed = 1] = numbers;

for (const { name, run } of wanted) {
  const slow = name.startsWith("rollouts");
  const count = values.seed !== undefined ? 1 : slow ? Math.ceil(seeds / 25) : seeds;
  const begun = performance.now();
  try {
    await run(values.seed === undefined ? 1 : seed, count);
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
