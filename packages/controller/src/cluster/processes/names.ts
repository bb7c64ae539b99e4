// Names that tell replicas apart.

import { randomBytes } from "node:crypto";

/** Six characters that are easy to read and never form a word's ending that matters (base32 without padding). */
export function randomName(): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  return [...randomBytes(6)].map((byte) => alphabet[byte & 31]).join("");
}
