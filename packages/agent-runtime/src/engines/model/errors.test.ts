import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressError, UnknownHostError } from "../../../../../supabase/functions/_shared/addresses.ts";
import { mapModelError } from "./errors.ts";

/** What fetch throws for a key that cannot stand in a header. */
function headerError(key: string): unknown {
  try {
    return new Headers({ authorization: `Bearer ${key}` });
  } catch (error) {
    return error;
  }
}

for (const key of ["sk-…", "sk-a\nb"]) {
  test(`the key ${JSON.stringify(key)} is told as a key to set again, and repeated nowhere`, () => {
    const error = mapModelError(headerError(key), "openai", false);
    assert.equal(error.code, "MODEL_AUTHENTICATION_FAILED");
    assert.match(error.message, /key for openai .+ set it again\.$/);
    assert.equal(error.cause, undefined);
  });
}

test("another TypeError stays a defect", () => {
  assert.equal(mapModelError(new TypeError("x is not a function"), "openai", false).code, "INTERNAL_ERROR");
});

test("a host name that is not found: the network is named, no permission of an operator", () => {
  const failed = (cause: Error) => mapModelError(new TypeError("fetch failed", { cause }), "openai", false);
  const unknown = failed(new UnknownHostError("The host name was not found."));
  assert.equal(unknown.code, "MODEL_UNAVAILABLE");
  assert.match(unknown.message, /host name was not found\. Check the network/);
  const refused = failed(new AddressError("The host is not on the public Internet."));
  assert.match(refused.message, /not allowed: .* LAUNCHPAD_AGENT_PRIVATE_HOSTS/);
});
