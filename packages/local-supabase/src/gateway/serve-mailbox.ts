/** The mails at /mailbox and /mailbox.json: for who has a key of theirs, on this machine. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { StackKeys } from "../keys.ts";
import { mailboxCookie, mayReadMail } from "../mailbox/access.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import { closedMailboxPage, mailboxPage, PAGE_POLICY } from "./pages.ts";
import { sendHtml, sendJson, sendOwnJson } from "./replies.ts";
import { isLocalName, type Route } from "./routes.ts";
import { paramsOf } from "./target.ts";

const FOREIGN_NAME = { message: "The mailbox answers to localhost alone" };
const KEY_NEEDED = {
  code: "INVALID_JWT_TOKEN",
  message: "The mailbox needs a key",
  hint: "Send the secret key as `apikey`, or `?key=` as in the address of the mailbox that npm start prints.",
};

/** Mails hold sign-in links: not for a site that gave its name this machine's address, nor for other programs. */
export function serveMailbox(
  request: IncomingMessage,
  response: ServerResponse,
  { route, mailbox, keys }: { route: Route & { path: string }; mailbox: Mailbox; keys: StackKeys },
): void {
  const { search, allowed } = judged(request, route, keys);
  if (!isLocalName(request.headers.host)) sendJson(response, 403, FOREIGN_NAME);
  else if (route.kind === "mailbox.json") {
    if (allowed) sendOwnJson(response, mailbox.list(search.get("to") ?? undefined));
    else sendJson(response, 401, KEY_NEEDED);
  } else if (!allowed) sendHtml(response, closedMailboxPage(), PAGE_POLICY);
  else if (!search.has("key")) sendHtml(response, mailboxPage(mailbox.list()), PAGE_POLICY);
  // The key leaves the address bar, and with it the browser's history.
  else response.writeHead(303, { location: "/mailbox", "set-cookie": mailboxCookie(keys) }).end();
}

function judged(request: IncomingMessage, route: { path: string }, keys: StackKeys) {
  const search = paramsOf({ search: route.path.split("?", 2)[1] ?? "" });
  return { search, allowed: mayReadMail(request, search.get("key") ?? undefined, keys) };
}
