import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { ago, bytes, cores, percent, span, sparkline } from "./figures.ts";
import { Output } from "./output.ts";
import { painter, plain, tone, wantsColour } from "./style.ts";
import { facts, table } from "./table.ts";
import { fit, oneLine, pad, printable, width } from "./text.ts";

describe("colour", () => {
  for (const [why, tty, env, flag, wanted] of [
    ["a terminal has it", true, {}, undefined, true],
    ["a pipe has not", false, {}, undefined, false],
    ["NO_COLOR takes it away", true, { NO_COLOR: "1" }, undefined, false],
    ["an empty NO_COLOR does not count", true, { NO_COLOR: "" }, undefined, true],
    ["--no-color takes it away, whatever else", true, { FORCE_COLOR: "1" }, false, false],
    ["FORCE_COLOR gives it to a pipe", false, { FORCE_COLOR: "1" }, undefined, true],
    ["NO_COLOR wins over FORCE_COLOR", false, { NO_COLOR: "1", FORCE_COLOR: "1" }, undefined, false],
    ["FORCE_COLOR=0 takes it away", true, { FORCE_COLOR: "0" }, undefined, false],
    ["a dumb terminal has not", true, { TERM: "dumb" }, undefined, false],
  ] as const) {
    test(why, () => assert.equal(wantsColour({ isTTY: tty }, env, flag), wanted));
  }

  test("a status word has its colour, others have none", () => {
    const paint = painter(true);
    assert.equal(tone(paint, "DEPLOYED"), "\u001b[32mDEPLOYED\u001b[39m");
    assert.equal(tone(paint, "SOMETHING"), "SOMETHING");
    assert.equal(tone(plain, "FAILED"), "FAILED");
  });
});

describe("text from elsewhere", () => {
  test("escape sequences and turned writing do not reach the terminal", () => {
    assert.equal(printable("a\u001b[2J\u001b]0;title\u0007b\rc\u0000d\u202ee"), "abcde");
    assert.equal(printable("two\nlines\tand"), "two\nlines\tand");
    assert.equal(oneLine("two\n  lines\r\nhere"), "two lines here");
  });

  test("width counts columns, not characters", () => {
    assert.equal(width("日本"), 4);
    assert.equal(width("👩‍👩‍👧"), 2);
    assert.equal(pad("日本", 6), "日本  ");
    assert.equal(pad("7", 3, "right"), "  7");
  });

  test("what is too long ends in an ellipsis", () => {
    assert.equal(fit("abcdef", 6), "abcdef");
    assert.equal(fit("abcdef", 4), "abc…");
    assert.equal(fit("日本語", 4), "日…");
  });
});

describe("tables", () => {
  const rows = [
    { name: "a", count: 5 },
    { name: "a-much-longer-name-than-that", count: 12345 },
  ];
  const columns = [
    { title: "NAME", value: (row: (typeof rows)[0]) => row.name, shrinks: true },
    { title: "N", value: (row: (typeof rows)[0]) => String(row.count), align: "right" as const },
  ];

  test("in a pipe nothing is cut", () => {
    assert.equal(
      table(rows, columns, { paint: plain }),
      "NAME                              N\na                                 5\na-much-longer-name-than-that  12345\n",
    );
  });

  test("a narrow terminal cuts what may shrink", () => {
    const lines = table(rows, columns, { paint: plain, columns: 20 }).trimEnd().split("\n");
    assert.deepEqual(lines, ["NAME               N", "a                  5", "a-much-longe…  12345"]);
  });

  test("a name with a line break does not break the table", () => {
    const shown = table([{ name: "a\nb\u001b[31m", count: 1 }], columns, { paint: plain });
    assert.equal(shown.split("\n").length, 3);
    assert.ok(!shown.includes("\u001b"));
  });

  test("facts leave out what is not known", () => {
    assert.equal(
      facts(
        [
          ["Name", "a"],
          ["URL", null],
          ["Reason", ""],
          ["X", "1"],
        ],
        plain,
      ),
      "Name  a\nX     1\n",
    );
  });
});

describe("figures", () => {
  test("a sparkline goes from zero to the largest; gaps are gaps", () => {
    assert.equal(sparkline([0, 1, 2, 4, 8, null, 8]), "▁▂▃▅█ █");
    assert.equal(sparkline([0, 0]), "▁▁");
    assert.equal(sparkline([]), "");
    assert.equal(sparkline([null, null]), "  ");
  });

  test("more values than columns are averaged", () => {
    const line = sparkline(
      Array.from({ length: 100 }, (_, i) => i),
      10,
    );
    assert.equal([...line].length, 10);
    assert.equal(line.at(0), "▁");
    assert.equal(line.at(-1), "█");
  });

  test("sizes, cores, shares and spans", () => {
    assert.deepEqual(
      [bytes(0), bytes(1536), bytes(536870912), bytes(null)],
      ["0 B", "1.5 KiB", "512 MiB", "–"],
    );
    assert.deepEqual([cores(0.45), cores(1.5), cores(null)], ["450m", "1.5", "–"]);
    assert.deepEqual([percent(45.25), percent(null)], ["45 %", "–"]);
    assert.deepEqual([span(0), span(59_000), span(3_700_000), span(200_000_000)], ["0s", "59s", "1h", "2d"]);
    assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T02:00:00Z")), "2h ago");
    assert.equal(ago(null, 0), "");
  });
});

describe("where output goes", () => {
  const open = (json: boolean, tty = false) => {
    const written = { out: "", err: "" };
    const out = new Output({
      out: {
        isTTY: tty,
        columns: 80,
        write: (text) => {
          written.out += text;
        },
      },
      err: {
        isTTY: tty,
        write: (text) => {
          written.err += text;
        },
      },
      env: {},
      json,
    });
    return { out, written };
  };

  test("results go to stdout, remarks to stderr, progress nowhere in a pipe", () => {
    const { out, written } = open(false);
    out.progress("working");
    out.note("a remark");
    out.result({ a: 1 }, () => "for people\n");
    assert.deepEqual(written, { out: "for people\n", err: "a remark\n" });
  });

  test("--json prints the value and spares remarks", () => {
    const { out, written } = open(true, true);
    out.progress("working");
    out.note("a remark");
    out.result({ a: 1 }, () => assert.fail("not for people"));
    out.item({ b: 2 }, () => assert.fail("not for people"));
    assert.deepEqual(written, { out: '{\n  "a": 1\n}\n{"b":2}\n', err: "" });
  });

  test("on a terminal the line of progress is taken away before a result", () => {
    const { out, written } = open(false, true);
    out.progress("one");
    out.progress("two");
    out.result(1, () => "done\n");
    assert.equal(written.err.split("\r\u001b[2K").length, 3);
    assert.equal(written.out, "done\n");
  });
});
