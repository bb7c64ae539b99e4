// Loaded before each test file and each setup: programs that tests start see the environment of a user, not vitest's.

/** What vitest and vite set. NODE_ENV=test changes what packages do. */
const SET_BY_VITEST = ["BASE_URL", "DEV", "FORCE_TTY", "MODE", "NODE_ENV", "PROD", "SSR", "TEST", "VITEST"];

for (const name of Object.keys(process.env))
  if (SET_BY_VITEST.includes(name) || name.startsWith("VITEST_")) delete process.env[name];
