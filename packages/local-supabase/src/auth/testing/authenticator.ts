// An authenticator in software for tests: makes keys and signs as a security key would.

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** What the browser hands to the server. */
export type Answer = Record<string, unknown>;

interface Made {
  key: KeyObject;
  userHandle: string;
}

/** Makes an authenticator whose page is at `origin`. */
export function createAuthenticator(origin: string) {
  const keys = new Map<string, Made>();
  let count = 0;

  const clientData = (type: string, challenge: string) =>
    Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
  const authenticatorData = (rpId: string, attested: Buffer = Buffer.alloc(0)) => {
    count += 1;
    const head = Buffer.alloc(37);
    createHash("sha256").update(rpId).digest().copy(head);
    head[32] = 0x01 | 0x04 | (attested.length > 0 ? 0x40 : 0); // present, verified, with a new key
    head.writeUInt32BE(count, 33);
    return Buffer.concat([head, attested]);
  };

  return {
    /** Answers `navigator.credentials.create`. */
    create(options: { challenge: string; rp: { id: string }; user: { id: string } }): Answer {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { x = "", y = "" } = publicKey.export({ format: "jwk" });
      const id = randomBytes(16);
      // COSE: an EC2 key (1: 2) for ES256 (3: -7) on P-256 (-1: 1).
      const cose = Buffer.concat([
        Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]),
        Buffer.from(x, "base64url"),
        Buffer.from([0x22, 0x58, 0x20]),
        Buffer.from(y, "base64url"),
      ]);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(id.length);
      const data = authenticatorData(options.rp.id, Buffer.concat([Buffer.alloc(16), length, id, cose]));
      const size = Buffer.alloc(2);
      size.writeUInt16BE(data.length);
      // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
      const attestation = Buffer.concat([
        Buffer.from([0xa3, 0x63]),
        Buffer.from("fmt"),
        Buffer.from([0x64]),
        Buffer.from("none"),
        Buffer.from([0x67]),
        Buffer.from("attStmt"),
        Buffer.from([0xa0, 0x68]),
        Buffer.from("authData"),
        Buffer.from([0x59]),
        size,
        data,
      ]);
      const name = id.toString("base64url");
      keys.set(name, { key: privateKey, userHandle: options.user.id });
      return {
        id: name,
        rawId: name,
        type: "public-key",
        clientExtensionResults: {},
        response: {
          clientDataJSON: clientData("webauthn.create", options.challenge).toString("base64url"),
          attestationObject: attestation.toString("base64url"),
          transports: ["internal"],
        },
      };
    },
    /** Answers `navigator.credentials.get` with the newest key. */
    get(options: { challenge: string; rpId: string }): Answer {
      const [name, made] = [...keys].at(-1) ?? [];
      if (name === undefined || !made) throw new Error("this authenticator has no key");
      const client = clientData("webauthn.get", options.challenge);
      const data = authenticatorData(options.rpId);
      const signed = Buffer.concat([data, createHash("sha256").update(client).digest()]);
      return {
        id: name,
        rawId: name,
        type: "public-key",
        clientExtensionResults: {},
        response: {
          clientDataJSON: client.toString("base64url"),
          authenticatorData: data.toString("base64url"),
          signature: sign("sha256", signed, made.key).toString("base64url"),
          userHandle: made.userHandle,
        },
      };
    },
  };
}
