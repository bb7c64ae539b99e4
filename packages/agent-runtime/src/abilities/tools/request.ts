/** A request of a tool to the outside: only to public addresses, checked and pinned for every hop, within limits. */
import {
  AddressError,
  type AddressRule,
  allowedAddresses,
  UnknownHostError,
} from "../../../../../supabase/functions/_shared/addresses.ts";
import { type ExchangeLimits, type ExchangeRequest, type ExchangeResponse, exchange } from "./exchange.ts";
import { ToolError } from "./tool-error.ts";

export { ToolError, type ToolErrorCode } from "./tool-error.ts";

export const MAX_RESPONSE_BYTES = 256 * 1024;
const MAX_REDIRECTS = 3;

export interface RequestLimits extends AddressRule {
  readonly signal: AbortSignal;
  /** Whether a redirect may lead there; the first URL is the caller's to judge. */
  mayFollow(url: URL): boolean;
  readonly maxBytes?: number;
  /** Receives each part of a body as it comes, of a redirect's too; true: enough is read. */
  readonly onBody?: ExchangeLimits["onBody"];
}

/**
 * Makes the request, following redirects.
 * @throws ToolError when it must not be made; Error when it fails
 */
export async function requestOutside(
  start: URL,
  request: ExchangeRequest,
  limits: RequestLimits,
): Promise<ExchangeResponse> {
  let url = start;
  let current = request;
  for (let hop = 0; ; hop++) {
    const address = await checkedAddress(url, limits);
    const response = await exchange(url, address, current, {
      maxBytes: limits.maxBytes ?? MAX_RESPONSE_BYTES,
      signal: limits.signal,
      onBody: limits.onBody,
    });
    const location = response.headers.location;
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response;
    const next = URL.parse(location, url);
    if (!next || hop === MAX_REDIRECTS)
      throw new ToolError("The server redirects without end.", "TOOL_FAILED");
    if (!limits.mayFollow(next) || (url.protocol === "https:" && next.protocol === "http:")) {
      throw new ToolError("The server redirects to where this tool may not go.", "TOOL_NOT_ALLOWED");
    }
    const keepsMethod = response.status >= 307 || current.method === "GET";
    current = {
      method: keepsMethod ? current.method : "GET",
      // What may be secret goes to the origin it was meant for alone.
      headers: next.host === url.host ? current.headers : {},
      ...(keepsMethod && { body: current.body }),
    };
    url = next;
  }
}

/**
 * The address a request may go to.
 * @throws ToolError unless every address of the host is public (or the host is named as an exception)
 */
export async function checkedAddress(url: URL, rule: AddressRule): Promise<string> {
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new ToolError("Only http and https are possible.", "TOOL_NOT_ALLOWED");
  if (url.username !== "" || url.password !== "")
    throw new ToolError("An address must not hold a password.", "TOOL_NOT_ALLOWED");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  try {
    const [first] = await allowedAddresses(url.hostname, port, rule);
    return first as string;
  } catch (error) {
    if (error instanceof UnknownHostError) throw new ToolError(error.message, "TOOL_FAILED");
    throw error instanceof AddressError ? new ToolError(error.message, "TOOL_NOT_ALLOWED") : error;
  }
}

/** Whether a host (and port) is on a list such as ["api.example.com", "*.example.org", "localhost:8080"]. */
export function isListed(url: URL, list: readonly string[]): boolean {
  const name = url.hostname.toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list.some((entry) => {
    const [host = "", wanted] = entry.toLowerCase().split(":");
    if (wanted !== undefined && wanted !== port) return false;
    return host.startsWith("*.") ? name.endsWith(host.slice(1)) : name === host;
  });
}
