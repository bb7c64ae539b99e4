// What other packages may import from the controller.

export { sign } from "@agent-launchpad/agent-runtime";
export { type App, startApp } from "./app.ts";
export { type Config, readConfig } from "./config.ts";
