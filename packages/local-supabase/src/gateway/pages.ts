// The gateway's own HTML pages: home and mailbox.

import type { Mail } from "../mailbox/mailbox.ts";

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1c1c1e}
h1{font-size:1.4rem}a{color:#0a6}code{background:#f2f2f4;padding:.1em .3em;border-radius:4px}
article{border:1px solid #ddd;border-radius:8px;padding:.7rem 1rem;margin:1rem 0}header{color:#666}pre{white-space:pre-wrap;overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){body{background:#18181a;color:#eee}code{background:#2a2a2e}article{border-color:#444}header{color:#aaa}}`;

/** What our pages may load: nothing but the style that stands in them. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What is shown at `/`. */
export interface HomePage {
  /** Whose page it is. */
  name: string;
  links: readonly { name: string; href: string; about: string }[];
}

/** Of a plain project. */
export const PROJECT_HOME: HomePage = {
  name: "Supabase project",
  links: [
    { name: "Mailbox", href: "/mailbox", about: "the e-mails that auth sends" },
    { name: "Health", href: "/healthz", about: "the state of every service" },
  ],
};

/** The page at `/`: what runs here and where. */
export function homePage({ name, links }: HomePage): string {
  const items = links.map(
    ({ name, href, about }) =>
      `<li><a href="${escapeHtml(href)}">${escapeHtml(name)}</a> – ${escapeHtml(about)}</li>`,
  );
  return page(name, `<h1>${escapeHtml(name)}</h1><ul>${items.join("")}</ul>`);
}

/** The page at `/mailbox`: the e-mails that auth has sent, newest first. */
export function mailboxPage(mails: readonly Mail[]): string {
  const list = mails.map(
    (mail) =>
      `<article><header>${escapeHtml(mail.sentAt)} to <b>${escapeHtml(mail.to)}</b></header><h2>${escapeHtml(mail.subject)}</h2>` +
      `<pre>${linked(mail.text)}</pre></article>`,
  );
  const body = list.length > 0 ? list.join("") : "<p>No e-mail has been sent yet.</p>";
  return page(
    "Mailbox",
    `<h1>Mailbox</h1><p>E-mails that Auth sends, newest first. They stay on this machine.</p>${body}`,
  );
}

/** The page at `/mailbox` for who has not the address that opens it. */
export function closedMailboxPage(): string {
  return page(
    "Mailbox",
    "<h1>Mailbox</h1><p>This address needs the key of the mailbox. Open the Mailbox address that <code>npm start</code> prints.</p>",
  );
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${STYLE}</style><body>${body}</body></html>`;
}

function linked(text: string): string {
  return text
    .split(/(https?:\/\/[^\s<>"]+)/)
    .map((part, i) =>
      i % 2 === 1 ? `<a href="${escapeHtml(part)}">${escapeHtml(part)}</a>` : escapeHtml(part),
    )
    .join("");
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
