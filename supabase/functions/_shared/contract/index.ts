/** The contract: one description of every request and response of `/api`. Imports only zod. */
export * from "./agents.ts";
export * from "./bundle.ts";
export * from "./character.ts";
export * from "./definition.ts";
export * from "./errors.ts";
export * from "./fleet.ts";
export * from "./health.ts";
export * from "./keys.ts";
export * from "./monitoring.ts";
export * from "./plugins.ts";
export * from "./primitives.ts";
export * from "./quantities.ts";
export * from "./queries.ts";
export * from "./security.ts";
export * from "./usage.ts";
export * from "./users.ts";
export * from "./version.ts";
