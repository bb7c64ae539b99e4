// Loaded before each test file and each setup: programs that tests start see the environment of a user, not vitest's. Of the
// stacks that files share (shared-stack.ts) each worker gets its own.

/** The report of CI's run (summary.ts): a run of vitest within a test would write it too. */
delete process.env.LAUNCHPAD_TEST_REPORT;

/** What vitest and vite set. NODE_ENV=test changes what packages do. */
const SET_BY_VITEST = ["BASE_URL", "DEV", "FORCE_TTY", "MODE", "NODE_ENV", "PROD", "SSR", "TEST", "VITEST"];

const { LAUNCHPAD_TEST_STACKS: stacks, VITEST_POOL_ID: worker } = process.env;
if (stacks !== undefined && worker !== undefined) {
  const shared: unknown[] = JSON.parse(stacks);
  process.env.LAUNCHPAD_TEST_STACK = JSON.stringify(shared[(Number(worker) - 1) % shared.length]);
  delete process.env.LAUNCHPAD_TEST_STACKS;
}

for (const name of Object.keys(process.env))
  if (SET_BY_VITEST.includes(name) || name.startsWith("VITEST_")) delete process.env[name];
