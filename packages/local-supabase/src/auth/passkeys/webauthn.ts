// WebAuthn for passkeys and second factors: options for the browser, and what its answers prove.
//
// The library is loaded by the first request that needs it (0.4 s, 32 MB).

import type * as Library from "@simplewebauthn/server";
import type { AuthSettings } from "../../config/auth-settings.ts";
import { internal } from "../errors.ts";

/** Who registers or signs in. */
export interface WebAuthnUser {
  id: string;
  name: string;
  displayName: string;
}

/** A credential that was registered; binary parts in base64url. */
export interface StoredCredential {
  id: string;
  publicKey: string;
  signCount: number;
  transports: string[];
}

/** What registering proves of a new credential. */
export interface NewCredential extends StoredCredential {
  aaguid: string;
  backupEligible: boolean;
  backedUp: boolean;
  attestationType: string;
}

/** What is remembered until the browser answers. */
export interface WebAuthnSession {
  challenge: string;
  rpId: string;
  user_id?: string;
}

export interface WebAuthn {
  registration(
    user: WebAuthnUser,
    known: readonly StoredCredential[],
    form: { discoverable: boolean },
  ): Promise<{ options: object; session: WebAuthnSession }>;
  /** Without credentials any passkey of this site may answer. */
  authentication(known: readonly StoredCredential[]): Promise<{ options: object; session: WebAuthnSession }>;
  /** The new credential, or undefined when the answer proves nothing. */
  verifyRegistration(answer: unknown, session: WebAuthnSession): Promise<NewCredential | undefined>;
  /** The new count of signatures, or undefined when the answer proves nothing. */
  verifyAuthentication(
    answer: unknown,
    session: WebAuthnSession,
    credential: StoredCredential,
  ): Promise<{ signCount: number } | undefined>;
}

/** Prepares WebAuthn for the site of [auth.webauthn]. */
export function createWebAuthn({ rp_id, rp_display_name, rp_origins }: AuthSettings["webauthn"]): WebAuthn {
  const load = async (): Promise<typeof Library> => {
    if (rp_id === "" || rp_origins.length === 0) throw internal("Failed to initialize WebAuthn");
    return await import("@simplewebauthn/server");
  };
  const expected = (session: WebAuthnSession) => ({
    expectedChallenge: session.challenge,
    expectedOrigin: rp_origins,
    expectedRPID: rp_id,
    requireUserVerification: false,
  });
  const listed = (known: readonly StoredCredential[]) =>
    known.map(({ id, transports }) => ({ id, transports: transportsOf(transports) }));
  return {
    async registration(user, known, { discoverable }) {
      const library = await load();
      const options = await library.generateRegistrationOptions({
        rpName: rp_display_name || rp_id,
        rpID: rp_id,
        userID: new TextEncoder().encode(user.id),
        userName: user.name,
        userDisplayName: user.displayName,
        attestationType: "none",
        excludeCredentials: listed(known),
        authenticatorSelection: {
          residentKey: discoverable ? "required" : "preferred",
          userVerification: "preferred",
        },
      });
      return { options, session: { challenge: options.challenge, rpId: rp_id, user_id: user.id } };
    },
    async authentication(known) {
      const library = await load();
      const options = await library.generateAuthenticationOptions({
        rpID: rp_id,
        userVerification: "preferred",
        ...(known.length > 0 ? { allowCredentials: listed(known) } : {}),
      });
      return { options, session: { challenge: options.challenge, rpId: rp_id } };
    },
    async verifyRegistration(answer, session) {
      const library = await load();
      try {
        const { verified, registrationInfo: info } = await library.verifyRegistrationResponse({
          response: answer as Library.RegistrationResponseJSON,
          ...expected(session),
        });
        if (!verified) return undefined;
        return {
          id: info.credential.id,
          publicKey: Buffer.from(info.credential.publicKey).toString("base64url"),
          signCount: info.credential.counter,
          transports: [...(info.credential.transports ?? [])],
          aaguid: info.aaguid,
          backupEligible: info.credentialDeviceType === "multiDevice",
          backedUp: info.credentialBackedUp,
          attestationType: info.fmt,
        };
      } catch {
        return undefined; // malformed, or not of this challenge, site or key
      }
    },
    async verifyAuthentication(answer, session, credential) {
      const library = await load();
      try {
        const { verified, authenticationInfo } = await library.verifyAuthenticationResponse({
          response: answer as Library.AuthenticationResponseJSON,
          ...expected(session),
          credential: {
            id: credential.id,
            publicKey: new Uint8Array(Buffer.from(credential.publicKey, "base64url")),
            counter: credential.signCount,
            transports: transportsOf(credential.transports),
          },
        });
        return verified ? { signCount: authenticationInfo.newCounter } : undefined;
      } catch {
        return undefined;
      }
    },
  };
}

const TRANSPORTS = ["ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"] as const;

function transportsOf(names: readonly string[]) {
  return TRANSPORTS.filter((known) => names.includes(known));
}
