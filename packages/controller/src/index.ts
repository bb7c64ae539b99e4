export { type App, startApp } from "./app.ts";
export { type Config, readConfig } from "./config.ts";
export { sign } from "./webhook.ts";
