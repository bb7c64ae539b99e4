// What a trace keeps of arguments and results: no secret, whatever else is in them.
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { redactArguments, redactText } from "./redact.ts";
import { withoutNamedSecrets } from "./secrets/named-secrets.ts";

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

describe("deep and wide texts", () => {
  it("are kept: JSON that can be parsed but not written again costs no answer", () => {
    for (const depth of [3_000, 5_000, 8_000, 16_000]) {
      const text = `${'{"a":'.repeat(depth)}{"password":"hunter2"}${"}".repeat(depth)}`;
      assert.doesNotMatch(redactText(text), /hunter2/);
      assert.ok(redactText(`${"[".repeat(depth)}1${"]".repeat(depth)}`).startsWith("["));
    }
  });

  it("as arguments are looked through as far as they are kept", () => {
    const wide = Object.fromEntries(Array.from({ length: 80_000 }, (_, n) => [`k${n}`, "hunter2"]));
    const began = process.cpuUsage();
    const kept = JSON.stringify(redactArguments(wide, ["hunter2"]));
    assert.ok(process.cpuUsage(began).user < 5_000_000, "as far as all of them took 10 s");
    assert.doesNotMatch(kept, /hunter2/);
    assert.ok(Buffer.byteLength(kept) <= 4_096);
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
    "in JSON that is cut, in an object": `{"n": 1, "credentials": {"me": "${WORD}", "you": ["a", "${WORD}"`,
    "in an object as JavaScript prints it, nested": `{ credentials: { me: '${WORD}' }, n: 1 }`,
    "behind an option": `curl --password ${WORD} https://x.example/`,
    "behind an option, in quotes and in the next line": `tool --api-key \\\n  "a \\" ${WORD}" --verbose`,
    "behind an option of PowerShell": `Connect -Server x -Password '${WORD}'`,
    "behind curl's -u": `curl -s -u me:${WORD} https://x.example/`,
    "written to curl's -u": `curl -ume:${WORD} https://x.example/`,
    "behind curl's --user": `curl --user "me:${WORD}" https://x.example/`,
    "in a header of curl": `curl -H 'X-Api-Key: ${WORD}' -H "Authorization: Basic ${WORD}" https://x.example/`,
    "written to mysql's -p": `mysqldump -u root -p${WORD} shop`,
    "behind -p of docker login": `docker login -u me -p ${WORD} registry.example`,
    "behind redis-cli's -a": `redis-cli -h x -a ${WORD} ping`,
    "in a command in JSON": JSON.stringify({ command: `sshpass -p ${WORD} ssh x` }),
    "in a list of arguments": JSON.stringify({ args: ["login", "--password", WORD, "-u", `me:${WORD}`] }),
    "in SQL": `create role a login password '${WORD}'; alter user b identified by '${WORD}'`,
    "in .netrc": `machine x.example login me password ${WORD}\n`,
    "beside a name in JSON": JSON.stringify({ name: "password", value: WORD }),
    "beside a key in JSON": JSON.stringify([{ key: "token", value: WORD, enabled: true }]),
    "beside a name in JSON, the other way round": JSON.stringify({
      env: [{ value: WORD, name: "DB_PASSWORD" }],
    }),
    "beside a name in JSON that is cut": `[{"type": "x", "name": "API key", "value": "${WORD}"}, {"na`,
    "beside a name in JSON in a sentence": `Sent {"value": "a\\"${WORD}", "name": "password"} to it.`,
    "beside a name in quoted JSON": `It says: "{\\"name\\": \\"password\\", \\"value\\": \\"${WORD}\\"}".`,
    "beside a name as Python prints it": `[{'name': 'password', 'value': '${WORD}'}]`,
    "beside a name as JavaScript prints it": `{ name: 'password',\n  value: '${WORD}' }`,
    "in a list of headers": JSON.stringify({ headers: [["authorization", `Basic ${WORD}`]] }),
    "in a field of a form in HTML": `<input value="${WORD}" name="password"><input type="password" value='${WORD}'>`,
    "in settings of .NET": `<add key="Password" value="${WORD}" />`,
    "in a property of Java's XML": `<property name="password">${WORD}</property>`,
    "in a property list": `<dict><key>password</key>\n<string>${WORD}</string></dict>`,
    "in XML with attributes": `<password type="plain">${WORD}</password><token><![CDATA[<${WORD}>]]></token>`,
    "in a part of a form": `--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n${WORD}\r\n--x--\r\n`,
    "in a block of YAML": `a:\n  password: |\n    one\n\n    ${WORD}\n  user: me\n`,
    "in a folded block of YAML": `"password": !!str >-  # the old one\n  ${WORD}\n`,
    "in the line below, in YAML": `password:\n  ${WORD}\n`,
    "in a list of YAML": `tokens:\n- ${WORD}\n- ${WORD}\nuser: me\n`,
    "in a value of YAML that goes on": `secret: one\n  ${WORD}\n`,
    "beside a name in YAML": `env:\n  - name: DB_PASSWORD\n    value: ${WORD}\n  - name: B\n    value: b\n`,
    "beside a name in YAML, the other way round": `- value: |\n    ${WORD}\n  name: DB_PASSWORD\n`,
    "in a value of an environment file with several lines": `A=1\nPASSWORD="one\n${WORD}"\nB='x'\n`,
    "in a value of TOML with several lines": `password="""\none\n${WORD}\n"""\n`,
    "behind -u among other options of curl": `curl -sSu me:${WORD} https://x.example/`,
    "in quotes, written to mysql's -p": `mysql -uroot -p'${WORD}' shop`,
    "in SQL, in double quotes": `alter user a identified by "${WORD}"`,
    "set in a configuration": `aws configure set aws_secret_access_key ${WORD}`,
    "set in a Dockerfile": `ENV TOKEN ${WORD}`,
    "as Ruby and PHP print it": `{:password => "${WORD}", 'api_key' => '${WORD}'}`,
    "in Terraform": `  "password" = "${WORD}"\n`,
    "in a field of a form in brackets": `user[password]=${WORD}&password[]=${WORD}&api%5Fkey=${WORD}`,
    "in a connection string of Azure": `AccountName=a;AccountKey=${WORD}==;EndpointSuffix=x`,
    "in a flat list of headers": JSON.stringify(["Host", "x.example", "Authorization", `Basic ${WORD}`]),
    "beside a label in JSON": JSON.stringify({ label: "password", value: WORD }),
    "before and after a change": JSON.stringify({ key: "password", newValue: WORD, old_value: WORD }),
    "in a second field": JSON.stringify({ password1: WORD, password_confirmation: WORD, passcode: WORD }),
    "in keys": JSON.stringify({ accessKey: WORD, encryption_key: WORD, jwt: WORD, mnemonic: WORD }),
    "in a list of Compose": `environment:\n  - DB_PASSWORD=${WORD}\n`,
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
    'monkey: "see no evil"',
    '{"accessKeyId":"AK1","keyboard":"us","passport":"none","bypassed":1,"label":"Anna"}',
    'if (a == "b") tempo = "c"',
    '["name","authorization","email"]',
    "ENV PATH /usr/bin",
    'key: "C"\ntempo: 120',
    "{ key: 'C# minor', chords: ['C', 'G'] }",
    '{"key":"F♯ major","turkey":"roast","keyboard":"qwerty"}',
    '{"key":"color","value":"red"}',
    "- key: color\n  value: red\n",
    '{"name":"max_tokens","value":500}',
    '{"name":"Ann","value":"see the token"}',
    "docker run -u 1000:1000 -p 8080:80 --token-file /run/token image",
    "mkdir -p a && ls -la; git push -u origin main",
    "password:\nuser: me\n",
    '<input name="user" value="me"><p>token</p>',
    "<Contents><Key>photos/2026/a.jpg</Key></Contents>",
    '{"event":{"key":"ArrowUp"}}',
    "a:\n  - b\n  -  c: d\n\n    e: f\n",
  ]) {
    it(`leave ${text} as it is`, () => assert.equal(redactText(text), text));
  }

  it("of others stay as they are where a command goes on behind one", () => {
    assert.equal(
      redactText('curl -u me:word --password "a b" -d "x=1" https://x.example/ && echo done'),
      'curl -u [secret] --password [secret] -d "x=1" https://x.example/ && echo done',
    );
    assert.equal(
      redactText("env:\n- name: DB_PASSWORD\n  value: word\n- name: B\n  value: b\nuser: me"),
      "env:\n- name: DB_PASSWORD\n  value: [secret]\n- name: B\n  value: b\nuser: me",
    );
    assert.equal(redactText("password: |\n  one\n  two\nuser: me\n"), "password: |\n  [secret]\nuser: me\n");
  });

  it("of a private key are blanked whole, whatever its name", () => {
    const key = `-----BEGIN RSA PRIVATE KEY-----\n${"a1B2".repeat(16)}\n-----END RSA PRIVATE KEY-----`;
    assert.ok(!redactText(`private_key: ${key}\n`).includes("a1B2"));
  });
});

// Each is repeated to 1 MB.
const ADVERSARIAL = [
  ...[
    '{"a": "b"} ',
    'x="',
    "https://a:",
    '\\"a\\": \\"',
    "a=b&",
    "\\",
    '{"a":',
    '"token":',
    "a:'",
    "eyJ-",
    "[",
    " ",
  ],
  ...["--a=", "--password '", '--password "\\"', "-u a:", "-u", "mysql -p", "-H 'a: ", "login a password "],
  ...[
    'token="',
    "token='''",
    "<token>",
    "<token><![CDATA[",
    "<a ",
    "<key>a</key>",
    'name="password"\r\n\r\n',
  ],
  ...["name: password\n", "- value: x\n", "password:\n ", "password: |\n", " - - - ", "  a:\n", "\n"],
  ...[
    "{name:'token',value:'",
    '{"name":"token","value":',
    "{ value: ",
    "<",
    'credentials: {"',
    "-----BEGIN PRIVATE KEY-----",
  ],
];

describe("looking for secrets", () => {
  const cpuMs = (text: string): number => {
    const before = process.cpuUsage();
    withoutNamedSecrets(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };

  it("takes time in proportion to a text's length, whatever the text", () => {
    const deep = Array.from({ length: 300 }, (_, n) => `{value:${"\\".repeat(n)}"a `).join("");
    for (const part of [...ADVERSARIAL, deep]) {
      const of = (bytes: number) => part.repeat(Math.ceil(bytes / part.length)).slice(0, bytes);
      const small = cpuMs(of(125_000));
      assert.ok(small < 1_000, `${JSON.stringify(part.slice(0, 40))}: ${small} ms for 125 kB`);
      const large = cpuMs(of(1_000_000));
      // Eight times the text; what is below 20 ms is noise.
      assert.ok(
        large < 24 * Math.max(small, 20),
        `${JSON.stringify(part.slice(0, 40))}: ${small} ms, then ${large} ms`,
      );
    }
  });
});
