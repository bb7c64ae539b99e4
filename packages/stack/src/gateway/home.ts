// What the gateway shows at /.

import type { HomePage } from "@agent-launchpad/local-supabase/gateway/pages.ts";

export const HOME: HomePage = {
  name: "Agent Launchpad",
  links: [
    { name: "API", href: "/api", about: "launch and watch agents" },
    { name: "API reference", href: "/docs", about: "every request and response, to read and to try" },
    { name: "OpenAPI document", href: "/api/openapi.json", about: "every request and response" },
    { name: "Mailbox", href: "/mailbox", about: "the e-mails that auth sends" },
    { name: "Health", href: "/healthz", about: "the state of every service" },
  ],
};
