import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { parseTemplate, TemplateError } from "./go-template.ts";

const data = {
  ConfirmationURL: "http://127.0.0.1:54321/auth/v1/verify?token=a&type=signup&redirect_to=http://x",
  Token: "123456",
  Email: "o'neil+1@example.com",
  Data: { name: "<b>Zoë</b>", admin: true, count: 3, tags: ["a", "b"], empty: "" },
};
const html = (source: string) => parseTemplate(source, "html").render(data);
const text = (source: string) => parseTemplate(source, "text").render(data);

test("fields are filled in; missing ones are empty", () => {
  assert.equal(
    html("Code: {{ .Token }}, {{.Token}}; {{ .Nope }}{{ .Data.nope.deeper }}."),
    "Code: 123456, 123456; .",
  );
  assert.equal(text("{{ .Token }} is your code"), "123456 is your code");
});

test("values are escaped in HTML and not in text", () => {
  assert.equal(html("<p>{{ .Data.name }}</p>"), "<p>&lt;b&gt;Zoë&lt;/b&gt;</p>");
  assert.equal(text("{{ .Data.name }}"), "<b>Zoë</b>");
});

test("links are escaped by their place", () => {
  assert.equal(
    html('<a href="{{ .ConfirmationURL }}">'),
    '<a href="http://127.0.0.1:54321/auth/v1/verify?token=a&amp;type=signup&amp;redirect_to=http://x">',
  );
  assert.equal(
    html('<a href="https://x/?e={{ .Email }}">'),
    '<a href="https://x/?e=o\'neil%2B1%40example.com">',
  );
  const script = parseTemplate('<a href="{{ .Data.url }}">', "html");
  assert.equal(script.render({ Data: { url: "javascript:alert(1)" } }), '<a href="#ZgotmplZ">');
  assert.equal(script.render({ Data: { url: '/a" onclick="x' } }), '<a href="/a%22%20onclick=%22x">');
});

test("conditions, loops, functions and pipes work", () => {
  assert.equal(html("{{ if .Data.admin }}yes{{ else }}no{{ end }}"), "yes");
  assert.equal(html("{{ if .Data.empty }}a{{ else if eq .Token `123456` }}b{{ else }}c{{ end }}"), "b");
  assert.equal(html("{{ if and .Data.admin (not .Data.empty) }}both{{ end }}"), "both");
  assert.equal(html("{{ if and .Nope .Token }}wrong{{ end }}{{ or .Nope .Token }}"), "123456");
  assert.equal(
    html("{{ with .Data }}{{ .count }}{{ end }}{{ with .Nope }}x{{ else }}none{{ end }}"),
    "3none",
  );
  assert.equal(html("{{ range .Data.tags }}[{{ . }}{{ $.Token }}]{{ end }}"), "[a123456][b123456]");
  assert.equal(
    html('{{ printf "%s-%d" .Token .Data.count }} {{ len .Data.tags }} {{ gt .Data.count 2 }}'),
    "123456-3 2 true",
  );
  assert.equal(html("{{ .Email | urlquery | print }}"), "o&#39;neil%2B1%40example.com");
  assert.equal(html('{{ index .Data "count" }}{{ or .Nope "x" }}'), "3x");
});

test("comments vanish and dashes trim", () => {
  assert.equal(html("a {{- /* }} */ -}} b\n{{- if true }} c {{- end }}"), "ab c");
});

test("a template that cannot be read is refused with its line", () => {
  const refused: [string, RegExp][] = [
    ["a\n{{ if .X }}", /^line 2: \{\{ end \}\} is missing$/],
    ["{{ end }}", /^line 1: \{\{ end \}\} or \{\{ else \}\} without a beginning$/],
    ["{{ .X", /^line 1: \{\{ is never closed$/],
    ["{{ shout .X }}", /^line 1: "shout" is not a known function$/],
    ["{{ .X | shout }}", /^line 1: "shout" is not a known function$/],
    ["{{ $x := 1 }}", /^line 1: ":= 1" is not supported$/],
    ["{{ (eq 1 }}", /^line 1: \) is missing$/],
  ];
  for (const [source, message] of refused)
    assert.throws(
      () => parseTemplate(source, "html"),
      (error) => error instanceof TemplateError && message.test(error.message),
      source,
    );
});

test("no text breaks out of the place where a value stands", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const shown = parseTemplate('<p title="{{ .V }}">{{ .V }}</p><a href="{{ .V }}">', "html").render({
        V: value,
      });
      const rest = shown.replace(/^<p title="[^"<>]*">[^<>]*<\/p><a href="[^"<>]*">$/, "");
      assert.equal(rest, "");
    }),
  );
});

test("any text is a template or a TemplateError", () => {
  const pieces = fc.constantFrom(
    "{{",
    "}}",
    " if ",
    " end ",
    ".X",
    " else ",
    "-",
    '"',
    "(",
    ")",
    "|",
    "eq",
    " ",
    "a",
    "/*",
    "*/",
  );
  fc.assert(
    fc.property(fc.array(pieces), (source) => {
      try {
        parseTemplate(source.join(""), "html").render({ X: "x" });
      } catch (error) {
        assert.ok(error instanceof TemplateError, String(error));
      }
    }),
  );
});
