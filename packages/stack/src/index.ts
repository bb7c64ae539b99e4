/** The embedded stack: Agent Launchpad with all of its Supabase project, on one machine. */

export { StackError } from "@agent-launchpad/local-supabase/errors.ts";
export { type Environment, readEnvironment } from "./environment.ts";
export { ROOT, type Stack, type StackOptions, type StackUrls, startStack } from "./stack.ts";
