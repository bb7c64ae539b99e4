import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "vitest";
import { createTotp, verifyTotp } from "./totp.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 15);

/** RFC 6238 in a few lines, as an app computes it. */
function codeOf(secret: string, at: number): string {
  const bits = [...secret].map((char) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char).toString(2).padStart(5, "0"),
  );
  const bytes = bits
    .join("")
    .match(/.{8}/g)!
    .map((byte) => Number.parseInt(byte, 2));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac("sha1", Buffer.from(bytes)).update(counter).digest();
  const offset = mac[19]! & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

test("an app's code is accepted now and half a minute to either side", () => {
  const { secret } = createTotp("example.com", "a@example.com");
  for (const offset of [-30_000, 0, 30_000])
    assert.equal(verifyTotp(secret, codeOf(secret, NOW + offset), NOW), Math.floor((NOW + offset) / 30_000));
  for (const offset of [-60_000, 60_000])
    assert.equal(verifyTotp(secret, codeOf(secret, NOW + offset), NOW), undefined);
});

test("the published example of RFC 6238 verifies", () => {
  const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; // 12345678901234567890
  assert.equal(verifyTotp(secret, "287082", 59_000), 1);
});

test("another secret's code, and what is not six digits, are refused", () => {
  const { secret } = createTotp("example.com", "a");
  const other = createTotp("example.com", "a").secret;
  assert.notEqual(secret, other);
  for (const code of [codeOf(other, NOW), "", "12345", "1234567", " 12345", "abcdef", "١٢٣٤٥٦"])
    if (code !== codeOf(secret, NOW)) assert.equal(verifyTotp(secret, code, NOW), undefined, code);
});

test("the address and the picture carry the secret, the site and the account", () => {
  const { secret, uri, qr_code } = createTotp("example.com:3000", "zoë@example.com");
  const url = new URL(uri);
  assert.equal(url.protocol, "otpauth:");
  assert.deepEqual(
    ["secret", "issuer", "algorithm", "digits", "period"].map((name) => url.searchParams.get(name)),
    [secret, "example.com:3000", "SHA1", "6", "30"],
  );
  assert.match(decodeURIComponent(uri), /^otpauth:\/\/totp\/example\.com:3000:zoë@example\.com\?/);
  assert.match(qr_code, /^(?:<\?xml[^>]*>\s*)?<svg [\s\S]*<\/svg>\s*$/);
});
