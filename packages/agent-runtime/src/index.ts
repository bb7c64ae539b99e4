// What other packages may import from the runtime.

export { bundleRuntime } from "./bundle.ts";
export type { ModelPlugin, PluginContext } from "./engines/model/plugins.ts";
export { installedVersion, majorBehindTag, needsEliza } from "./engines/packages.ts";
export { parsePlugin } from "./engines/plugin-versions.ts";
export { EXIT } from "./errors.ts";
export { type HandOver, WAITING, WAITS } from "./hand-over.ts";
export { bundledProgram, compileCacheDir, defaultElizaDir, modelCacheOf, runtimeProgram } from "./paths.ts";
export { codeFolders, permittedCommand, programInUse, type ReplicaFiles } from "./permissions.ts";
export { ARCHIVE, type SetArchive, setArchives } from "./plugin-set/packages.ts";
export { BUILT_IN_PLUGINS, isMcpPlugin } from "./plugins/built-in.ts";
export { installedEngine } from "./prefilled.ts";
export { isGenuine, sign } from "./signature.ts";
export { secretSpellings } from "./spellings.ts";
export { warmCompileCache } from "./warm.ts";
