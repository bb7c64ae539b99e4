import assert from "node:assert/strict";
import { test } from "vitest";
import { AuthError } from "../errors.ts";
import { createAuthenticator } from "../testing/authenticator.ts";
import { createWebAuthn } from "./webauthn.ts";

const ORIGIN = "http://localhost:3000";
const webauthn = createWebAuthn({ rp_id: "localhost", rp_display_name: "Mine", rp_origins: [ORIGIN] });
const user = { id: "0b3b7e1f-0000-4000-8000-000000000001", name: "a@example.com", displayName: "Ada" };

type Creation = Parameters<ReturnType<typeof createAuthenticator>["create"]>[0] & {
  excludeCredentials: { id: string }[];
};
type Request = Parameters<ReturnType<typeof createAuthenticator>["get"]>[0];

async function registered(authenticator = createAuthenticator(ORIGIN)) {
  const { options, session } = await webauthn.registration(user, [], { discoverable: true });
  const credential = await webauthn.verifyRegistration(authenticator.create(options as Creation), session);
  assert.ok(credential);
  return { authenticator, credential };
}

test("a key is registered and signs in, and its count goes up", async () => {
  const { authenticator, credential } = await registered();
  assert.deepEqual(
    [credential.transports, credential.signCount, credential.attestationType],
    [["internal"], 1, "none"],
  );
  const { options, session } = await webauthn.authentication([]);
  const answer = authenticator.get(options as Request);
  assert.deepEqual(await webauthn.verifyAuthentication(answer, session, credential), { signCount: 2 });
  // The same answer again: its count is not higher than the one that is kept.
  assert.equal(
    await webauthn.verifyAuthentication(answer, session, { ...credential, signCount: 2 }),
    undefined,
  );
});

test("options name the site, the user in bytes, and the keys that are known", async () => {
  const { credential } = await registered();
  const { options } = await webauthn.registration(user, [credential], { discoverable: true });
  const { rp, user: shown, excludeCredentials } = options as Creation & { rp: object };
  assert.deepEqual(rp, { name: "Mine", id: "localhost" });
  assert.equal(Buffer.from(shown.id, "base64url").toString(), user.id);
  assert.deepEqual(
    excludeCredentials.map(({ id }) => id),
    [credential.id],
  );
});

test("an answer of another site, challenge or key proves nothing", async () => {
  const { authenticator, credential } = await registered();
  const { options, session } = await webauthn.authentication([credential]);
  const elsewhere = createAuthenticator("http://evil.example");
  const registration = await webauthn.registration(user, [], { discoverable: false });
  assert.equal(
    await webauthn.verifyRegistration(
      elsewhere.create(registration.options as Creation),
      registration.session,
    ),
    undefined,
  );
  const other = await registered();
  for (const answer of [
    other.authenticator.get(options as Request),
    authenticator.get({ ...(options as Request), challenge: "AAAA" }),
    authenticator.get({ ...(options as Request), rpId: "example.com" }),
    {},
    null,
    "x",
  ])
    assert.equal(await webauthn.verifyAuthentication(answer, session, credential), undefined);
});

test("without a site in config.toml nothing begins", async () => {
  const unset = createWebAuthn({ rp_id: "", rp_display_name: "", rp_origins: [] });
  await assert.rejects(
    unset.authentication([]),
    (error) => error instanceof AuthError && error.status === 500,
  );
});
