// What a trace keeps of arguments and results: no secret, whatever else is in them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redactArguments, redactText } from "./redact.ts";

describe("redactArguments", () => {
  it("blanks values with a secret's name, also where the arguments are too long to be kept whole", () => {
    const many = Array.from({ length: 3_000 }, (_, n) => n);
    for (const more of [{}, { many }, { text: "x".repeat(100_000) }]) {
      const kept = JSON.stringify(redactArguments({ password: "correct horse", ...more }));
      assert.ok(!kept.includes("correct horse"), kept.slice(0, 200));
      assert.ok(Buffer.byteLength(kept) <= 4_096, `${kept.length}`);
    }
  });
});

describe("redactText", () => {
  for (const key of [
    `AIzaSy${"A1b2".repeat(8)}`, // as Google writes keys: nothing between the mark and the rest
    `sk-proj-${"a1B2".repeat(10)}`,
    `sk-ant-api03-${"a1B2".repeat(10)}`,
    `Bearer ${"a1B2".repeat(8)}`,
    `ghp_${"a1B2".repeat(9)}`,
    `xoxb-${"1234-".repeat(4)}a1B2`,
    `AKIA${"A1B2".repeat(4)}`,
    `eyJ${"a1B2".repeat(5)}.eyJ${"a1B2".repeat(5)}.${"a1-B".repeat(8)}`,
    `-----BEGIN RSA PRIVATE KEY-----\n${"a1B2".repeat(16)}\n-----END RSA PRIVATE KEY-----`,
  ]) {
    it(`blanks ${key.slice(0, 8)}… though the agent does not have it`, () => {
      assert.equal(redactText(`It is ${key}, and wrong.`), "It is [secret], and wrong.");
    });
  }

  it("leaves ordinary words", () => {
    const text = "keyboards, key figures and risk-averse task-management";
    assert.equal(redactText(text), text);
  });
});

describe("secrets that a text names itself", () => {
  const WORD = "hunter2";
  const forms: Record<string, string> = {
    "in a URL": `postgres://me:${WORD}@db.example:5432/x?sslmode=require`,
    "in a URL alone, without a user": `see redis://:${WORD}@cache.example, please`,
    "as a URL's user": `https://${WORD}@github.example/me/repo.git`,
    "in a URL, with characters that a URL does not take": `postgres://me:${WORD}/#@x@db.example/x`,
    "in a URL in JSON": JSON.stringify({ url: `https://me:${WORD}@x.example/` }),
    "in a query": `https://x.example/?page=2&api_key=${WORD}&q=a`,
    "in a fragment": `https://x.example/#access_token=${WORD}`,
    "in a form": `user=me&password=${WORD}`,
    "in an environment file": `A=1\nDB_PASSWORD="${WORD}"\n`,
    "in a header": `HTTP/1.1 200 OK\nSet-Cookie: session=${WORD}; Path=/\n`,
    "in YAML": `database:\n  password: ${WORD}\n`,
    "in XML": `<login><user>me</user><password>${WORD}</password></login>`,
    "in JSON": JSON.stringify({ user: "me", password: WORD }, null, 2),
    "in JSON, deep": JSON.stringify({ a: [{ b: { clientSecret: WORD, n: 1 } }] }),
    "in JSON, as an object": JSON.stringify({ credentials: { me: WORD } }),
    "in JSON, as a number": '{"password": 4711}',
    "in JSON in JSON in JSON": JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ token: WORD }) }) }),
    "in lines of JSON": `{"n": 1}\n{"password": "${WORD}"}\n`,
    "in JSON after a sentence": `The answer was {"password": "a\\"${WORD}", "n": 2}.`,
    "in JSON that is quoted in a sentence": `It says: "{\\"password\\": \\"${WORD}\\"}".`,
    "in JSON that is cut": `{"n": 1, "password": "${WORD}`,
    "in an object as Python prints it": `{'user': 'me', 'password': 'a\\'${WORD}'}`,
    "in an object as JavaScript prints it": `[ { user: 'me', password: '${WORD}', apiKey: "${WORD}" } ]`,
    "in an ini file": `[db]\nuser = me\nPASSWORD = ${WORD}\n`,
    "in a header without a space": `x-api-key:${WORD}\n`,
    "where a name speaks of tokenizers": `tokenizer_api_key=${WORD}`,
    "in a text of JSON": JSON.stringify(`password=${WORD}`),
  };
  for (const [form, text] of Object.entries(forms)) {
    it(`are blanked ${form}, as a result and as an argument`, () => {
      for (const kept of [redactText(text), JSON.stringify(redactArguments({ body: text }))]) {
        assert.match(kept, /\[secret\]/);
        assert.doesNotMatch(kept, new RegExp(`${WORD}|4711`), kept);
      }
    });
  }

  for (const text of [
    "https://x.example/@me/post?page=2",
    "mail me@x.example; see https://x.example/",
    '{ "tokens": 30,  "max_tokens": "500", "password": null }',
    "The password: it has eight characters",
    "token: see page 3",
    "Key: C major\nTempo: 120",
    "Token: a unit of text.\nBuy one.",
    "secretary: Anna\ntokenizer: cl100k",
    '{"token_type":"bearer","tokenCount":3,"secretary":"Anna","secret_santa":true}',
    "user=me&page=2\nname: me",
    "input_tokens=30&n=1",
    "<token-count>3</token-count>".replaceAll("token-count", "count"),
  ]) {
    it(`leave ${text} as it is`, () => assert.equal(redactText(text), text));
  }

  it("cost a long text little", () => {
    const parts = [
      '{"a": "b"} ',
      'x="',
      "https://a:",
      '\\"a\\": \\"',
      "a=b&",
      "name: ",
      "\\",
      '{"a":',
      '"token":',
      "a:'",
    ];
    for (const part of [...parts, '"a" ', "eyJ-", "-----BEGIN PRIVATE KEY-----", "[", "- ", " "]) {
      const began = performance.now();
      redactText(part.repeat(100_000));
      assert.ok(performance.now() - began < 1_000, `${part} ${performance.now() - began} ms`);
    }
  });
});
