// Looks packages up from this folder, where the optional part's node_modules are. Plain JavaScript: it is imported by path.

/** The file a package would be loaded from; throws ERR_MODULE_NOT_FOUND. */
export const resolve = (name) => import.meta.resolve(name);

export const load = (name) => import(name);
