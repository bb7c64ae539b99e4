// The tables [auth.*] of config.toml with the CLI's names, kinds and defaults.

import { z } from "zod";
import { count, duration, flag, oneOf, optionalText, table, text, texts } from "./fields.ts";

const hook = table({ enabled: flag(false), uri: optionalText, secrets: optionalText });
const factor = table({ enroll_enabled: flag(false), verify_enabled: flag(false) });
const content = { subject: text(), content_path: text() };

/** The providers that config.toml may name. */
export const PROVIDERS = [
  "apple",
  "azure",
  "bitbucket",
  "discord",
  "facebook",
  "figma",
  "github",
  "gitlab",
  "google",
  "kakao",
  "keycloak",
  "linkedin_oidc",
  "notion",
  "slack_oidc",
  "spotify",
  "twitch",
  "twitter",
  "workos",
  "x",
  "zoom",
] as const;
export type ProviderName = (typeof PROVIDERS)[number];

const provider = (name: ProviderName) =>
  table({
    enabled: flag(false),
    client_id: text(),
    secret: text(),
    url: text(name === "gitlab" ? "https://gitlab.com" : ""),
    redirect_uri: text(),
    skip_nonce_check: flag(false),
    email_optional: flag(false),
  }).superRefine((value, context) => {
    if (!value.enabled) return;
    const missing = (field: string) =>
      context.addIssue({ code: "custom", path: [field], message: "is needed when the provider is enabled" });
    if (value.client_id === "") missing("client_id");
    // Apple's and Google's id tokens may be the only way in.
    if (value.secret === "" && name !== "apple" && name !== "google") missing("secret");
  });
export type ProviderSettings = z.infer<ReturnType<typeof provider>>;

const externals = Object.fromEntries(PROVIDERS.map((name) => [name, provider(name)])) as Record<
  ProviderName,
  ReturnType<typeof provider>
>;

const smtp = z
  .strictObject({
    enabled: flag(true),
    host: text(),
    port: count(587, { most: 65535 }),
    user: text(),
    pass: text(),
    admin_email: text(),
    sender_name: text(),
  })
  .optional();

const email = table({
  enabled: flag(true).optional(),
  enable_signup: flag(true),
  double_confirm_changes: flag(true),
  enable_confirmations: flag(false),
  secure_password_change: flag(false),
  require_current_password: flag(false),
  max_frequency: duration("1s"),
  otp_length: count(6, { least: 6, most: 10 }),
  otp_expiry: count(3600),
  smtp,
  template: z
    .partialRecord(
      z.enum(["invite", "confirmation", "recovery", "magic_link", "email_change", "reauthentication"]),
      table(content),
    )
    .prefault({}),
  notification: z
    .partialRecord(
      z.enum([
        "password_changed",
        "email_changed",
        "phone_changed",
        "identity_linked",
        "identity_unlinked",
        "mfa_factor_enrolled",
        "mfa_factor_unenrolled",
      ]),
      table({ enabled: flag(false), ...content }),
    )
    .prefault({}),
});

const sms = table({
  enabled: flag(false).optional(),
  enable_signup: flag(false),
  enable_confirmations: flag(false),
  template: text("Your code is {{ .Code }}"),
  max_frequency: duration("5s"),
  otp_length: count(6, { least: 6, most: 10 }),
  otp_expiry: count(60),
  twilio: z.looseObject({ enabled: flag(false) }).prefault({}),
  twilio_verify: z.looseObject({ enabled: flag(false) }).prefault({}),
  messagebird: z.looseObject({ enabled: flag(false) }).prefault({}),
  textlocal: z.looseObject({ enabled: flag(false) }).prefault({}),
  vonage: z.looseObject({ enabled: flag(false) }).prefault({}),
  test_otp: z.record(z.string(), z.string("must be a text")).optional(),
});

const thirdParty = z.looseObject({ enabled: flag(false) }).prefault({});

/** [auth] as the Supabase CLI reads it (3.1); durations are in milliseconds. */
export const AuthSettings = table({
  enabled: flag(true),
  site_url: text("http://127.0.0.1:3000"),
  additional_redirect_urls: texts(["https://127.0.0.1:3000"]),
  jwt_expiry: count(3600, { most: 604_800 }),
  jwt_issuer: optionalText,
  signing_keys_path: optionalText,
  enable_refresh_token_rotation: flag(true),
  refresh_token_reuse_interval: count(10),
  enable_manual_linking: flag(false),
  enable_signup: flag(true),
  enable_anonymous_sign_ins: flag(false),
  minimum_password_length: count(6),
  password_requirements: oneOf(
    ["", "letters_digits", "lower_upper_letters_digits", "lower_upper_letters_digits_symbols"],
    "",
  ),
  publishable_key: optionalText,
  secret_key: optionalText,
  jwt_secret: optionalText,
  anon_key: optionalText,
  service_role_key: optionalText,
  rate_limit: table({
    email_sent: count(2),
    sms_sent: count(30),
    anonymous_users: count(30),
    token_refresh: count(150),
    sign_in_sign_ups: count(30),
    token_verifications: count(30),
    web3: count(30),
  }),
  captcha: table({
    enabled: flag(false),
    provider: oneOf(["hcaptcha", "turnstile"], "hcaptcha").optional(),
    secret: optionalText,
  }),
  hook: table({
    mfa_verification_attempt: hook,
    password_verification_attempt: hook,
    custom_access_token: hook,
    send_sms: hook,
    send_email: hook,
    before_user_created: hook,
  }),
  mfa: table({
    totp: factor,
    phone: table({
      enroll_enabled: flag(false),
      verify_enabled: flag(false),
      otp_length: count(6),
      template: text("Your code is {{ .Code }}"),
      max_frequency: duration("5s"),
    }),
    web_authn: factor,
    max_enrolled_factors: count(10),
  }),
  passkey: table({ enabled: flag(false) }),
  webauthn: table({ rp_id: text(), rp_display_name: text(), rp_origins: texts([]) }),
  sessions: table({ timebox: duration("0s"), inactivity_timeout: duration("0s") }),
  email,
  sms,
  external: table(externals),
  web3: table({ solana: table({ enabled: flag(false) }), ethereum: table({ enabled: flag(false) }) }),
  oauth_server: table({
    enabled: flag(false),
    authorization_url_path: text("/oauth/consent"),
    allow_dynamic_registration: flag(false),
  }),
  third_party: table({
    firebase: thirdParty,
    auth0: thirdParty,
    aws_cognito: thirdParty,
    clerk: thirdParty,
    workos: thirdParty,
  }),
});
export type AuthSettings = z.infer<typeof AuthSettings>;

/** [api] as far as the stack reads it. */
export const ApiSettings = z
  .looseObject({
    schemas: texts(["public", "graphql_public"]),
    extra_search_path: texts(["public", "extensions"]),
    max_rows: count(1000),
    external_url: optionalText,
  })
  .prefault({});
export type ApiSettings = z.infer<typeof ApiSettings>;
