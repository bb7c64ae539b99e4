/** Which requests to Storage carry a file: their bodies are streamed; all others are JSON. */

/** A POST to these below /object is no upload. */
const UPLOAD = /^\/storage\/v1\/object\/(?!(?:list|sign|upload\/sign|move|copy)(?:\/|$))[^/]+\/./;

/**
 * @param pathname in its canonical spelling
 */
export function isUpload(method: string, pathname: string): boolean {
  if (method === "PUT") return pathname.startsWith("/storage/v1/object/");
  return method === "POST" && UPLOAD.test(pathname);
}
