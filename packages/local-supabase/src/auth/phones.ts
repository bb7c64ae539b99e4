// Reads phone numbers.

import { badRequest } from "./errors.ts";

/**
 * A phone number in E.164, without its plus; undefined where none is given.
 * @throws AuthError `validation_failed`
 */
export function readPhone(text: string | undefined): string | undefined {
  if (!text) return undefined;
  const phone = text.replace(/^\+/, "").replaceAll(" ", "");
  if (!/^[1-9][0-9]{1,14}$/.test(phone))
    throw badRequest("validation_failed", "Invalid phone number format (E.164 required)");
  return phone;
}
