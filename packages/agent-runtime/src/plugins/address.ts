// Addresses in the settings of plugins.

/** A setting as an http(s) address; undefined where it is none. */
export function asAddress(text: string): URL | undefined {
  const url = URL.parse(text);
  return url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === ""
    ? url
    : undefined;
}
