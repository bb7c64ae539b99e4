import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { parseConfig } from "../../config/read-config.ts";
import { loadMailTemplates, type MailKind } from "./templates.ts";

const data = {
  ConfirmationURL: "http://127.0.0.1:54321/auth/v1/verify?token=t&type=signup&redirect_to=http://x",
  Token: "123456",
  TokenHash: "hash",
  SiteURL: "http://site",
  Email: "a@example.com",
  NewEmail: "b@example.com",
  OldEmail: "c@example.com",
  RedirectTo: "http://x",
  Provider: "github",
  FactorType: "totp",
  Data: { name: "Zoë" },
};

const load = async (root: string, toml: string) =>
  await loadMailTemplates(root, parseConfig(toml).auth.email);

test("without templates every kind has words of ours", async () => {
  const { templates, warnings } = await load("/nowhere", "");
  assert.deepEqual(warnings, []);
  const kinds: MailKind[] = [
    "invite",
    "confirmation",
    "recovery",
    "magic_link",
    "email_change",
    "reauthentication",
  ];
  for (const kind of kinds) {
    const { subject, html, text } = templates.render(kind, data);
    assert.ok(subject.length > 5 && html.includes("<h2>"));
    if (kind === "reauthentication") assert.match(subject, /123456/);
    else assert.ok(text.includes(data.ConfirmationURL), text);
  }
  assert.match(templates.render("email_change", data).html, /from a@example.com to b@example.com/);
  assert.match(templates.render("mfa_factor_enrolled_notification", data).text, /of type totp now/);
});

test("config.toml's subject and file are sent", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "templates-"));
  t.onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(join(root, "supabase", "templates"), { recursive: true });
  const source =
    '<a href="{{ .SiteURL }}/confirm?token_hash={{ .TokenHash }}&type=email">Hi {{ .Data.name }}</a>';
  await writeFile(join(root, "supabase", "templates", "magic.html"), source);
  for (const path of ["./supabase/templates/magic.html", "templates/magic.html"]) {
    const { templates, warnings } = await load(
      root,
      `[auth.email.template.magic_link]\nsubject = "{{ .Token }} for {{ .Email }}"\ncontent_path = "${path}"`,
    );
    assert.deepEqual(warnings, []);
    assert.deepEqual(templates.render("magic_link", data), {
      subject: "123456 for a@example.com",
      html: '<a href="http://site/confirm?token_hash=hash&type=email">Hi Zoë</a>',
      text: "Hi Zoë: http://site/confirm?token_hash=hash&type=email",
    });
    assert.match(templates.render("recovery", data).subject, /password/);
  }
});

test("a template that cannot be used is named, and our words are sent", async () => {
  const { templates, warnings } = await load(
    "/nowhere",
    `[auth.email.template.invite]\nsubject = "{{ shout }}"\ncontent_path = "no.html"`,
  );
  assert.deepEqual(warnings, [
    'supabase/config.toml: auth.email.template.invite.subject cannot be used (line 1: "shout" is not a known function); the default is sent.',
    "supabase/config.toml: auth.email.template.invite.content_path names a file that does not exist; the default is sent.",
  ]);
  assert.match(templates.render("invite", data).subject, /invitation/);
});

test("a value cannot add a header by the subject", async () => {
  const { templates } = await load(
    "/nowhere",
    '[auth.email.template.invite]\nsubject = "For {{ .Data.name }}"',
  );
  const { subject } = templates.render("invite", { ...data, Data: { name: "a\r\nBcc: b@example.com" } });
  assert.equal(subject, "For a Bcc: b@example.com");
});
