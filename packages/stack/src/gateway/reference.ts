// Serves the API reference below /docs.

import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { sendAsset, sendHtml, sendJson } from "@agent-launchpad/local-supabase/gateway/replies.ts";

/** The page of the API reference. Its script is a file of its own, so that none need be allowed inside the page. */
const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>API reference – Agent Launchpad</title><link rel="stylesheet" href="/docs/swagger-ui.css">
<body><main id="reference"></main><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`;

const START = `SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#reference", deepLinking: true, tryItOutEnabled: true, persistAuthorization: false, validatorUrl: null });`;

/** Swagger UI styles its elements and draws its marks from data: addresses; it calls the API here. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What the page loads, and nothing else of the package. */
const ASSETS: Record<string, string> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
};

/**
 * Serves the reference of the API (Swagger UI over /api/openapi.json) below /docs.
 * @param path the request's path, `/docs` or `/docs/<file>`
 */
export async function serveReference(response: ServerResponse, path: string): Promise<void> {
  const name = path.slice("/docs".length).replace(/^\//, "");
  if (name === "") return sendHtml(response, PAGE, POLICY);
  if (name === "start.js") return sendAsset(response, "text/javascript; charset=utf-8", Buffer.from(START));
  const type = Object.hasOwn(ASSETS, name) ? ASSETS[name] : undefined;
  if (type === undefined) return sendJson(response, 404, { code: "NOT_FOUND", message: "No such page" });
  const file = createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`);
  sendAsset(response, type, await readFile(file));
}
