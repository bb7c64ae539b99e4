export type { ModelPlugin, PluginContext } from "./engines/model/plugins.ts";
export { EXIT } from "./errors.ts";
export { compileCacheDir, runtimeProgram } from "./paths.ts";
export { codeFolders, permittedCommand, type ReplicaFiles } from "./permissions.ts";
export { BUILT_IN_PLUGINS } from "./plugins/built-in.ts";
export { secretSpellings } from "./spellings.ts";
export { warmCompileCache } from "./warm.ts";
