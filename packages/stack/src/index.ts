/** The embedded stack: Agent Launchpad with all of its Supabase project, on one machine. */
export { type Environment, readEnvironment } from "./environment.ts";
export { StackError } from "./errors.ts";
export { ROOT, type Stack, type StackOptions, type StackUrls, startStack } from "./stack.ts";
