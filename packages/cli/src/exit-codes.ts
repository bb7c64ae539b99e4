/** What a program that calls `launchpad` can tell from its exit code. Listed in the README; a test holds both equal. */
export const exitCodes = {
  ok: { code: 0, meaning: "done" },
  internal: { code: 1, meaning: "a defect, here or in the project; `--debug` shows more" },
  usage: { code: 2, meaning: "the command line is wrong, or no project is configured" },
  unauthenticated: { code: 3, meaning: "not signed in, or the login, token or key is not valid" },
  forbidden: { code: 4, meaning: "a permission is missing" },
  notFound: { code: 5, meaning: "no such agent, secret, revision, answer or path" },
  invalid: { code: 6, meaning: "the input is wrong: a field, or a file" },
  conflict: { code: 7, meaning: "the request contradicts the present state" },
  limited: { code: 8, meaning: "a rate limit or quota is reached" },
  unreachable: { code: 9, meaning: "the project or the agent does not answer" },
  failed: { code: 10, meaning: "the agent FAILED, or could not answer" },
  refuted: { code: 11, meaning: "a check found problems: `scan`, `doctor`" },
  interrupted: { code: 130, meaning: "ended by Ctrl-C, or by a question answered with no" },
} as const;

export type Outcome = keyof typeof exitCodes;
