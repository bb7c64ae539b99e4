// Corrects the errors of expired or changed signed links.

import { judgeToken } from "../tokens.ts";

const LINK = /^\/storage\/v1\/object\/(upload\/)?sign\//;

/**
 * A link whose token has expired, was changed or is none is the caller's mistake; lite calls it an error of its own.
 * @param request of a file by a signed link, or of an upload
 * @param response what lite answers to it
 * @param secret what links are signed with
 * @returns hosted's answer to such a token; any other answer as it is
 */
export function withLinkErrors(request: Request, response: Response, secret: string): Response {
  const { pathname, searchParams } = new URL(request.url);
  const token = searchParams.get("token");
  if (response.status !== 500 || token === null || !LINK.test(pathname)) return response;
  const judged = judgeToken(token, secret);
  const message =
    judged === undefined ? "jwt malformed" : judged.genuine ? "jwt expired" : "invalid signature";
  if (judged?.genuine && !hasExpired(token)) return response;
  return Response.json({ statusCode: "400", error: "InvalidJWT", message }, { status: 400 });
}

function hasExpired(token: string): boolean {
  const { exp } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
    exp?: unknown;
  };
  return typeof exp === "number" && exp * 1000 <= Date.now();
}
