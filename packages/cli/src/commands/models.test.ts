import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { plain } from "../output/style.ts";
import { type CatalogueModel, modelTable, pricesOf } from "./models.ts";

describe("models", () => {
  test("prices are dollars per million tokens", () => {
    assert.deepEqual(pricesOf("2.5/10"), { inputMicros: 2_500_000, outputMicros: 10_000_000 });
    assert.equal(pricesOf("0.1/0.5/0.01").cachedInputMicros, 10_000);
    for (const wrong of ["2.5", "1/2/3/4", "a/b", "-1/2", ""]) {
      assert.throws(() => pricesOf(wrong), /--price must be dollars per million tokens such as 2.5\/10/);
    }
  });

  test("a row shows default, price, retirement and what the model takes", () => {
    const model: CatalogueModel = {
      framework: "openai",
      name: "gpt-6-luna",
      default: true,
      takes: ["temperature", "top_p"],
      max_output_tokens: 128_000,
      thinks: "unless_sampled",
      api: "responses",
      retires_at: "2027-03-01",
      successor: "gpt-7",
      price: { inputMicros: 100_000, outputMicros: 500_000, cachedInputMicros: 10_000 },
    };
    const [, row] = modelTable([model], { paint: plain }).split("\n");
    assert.match(
      row ?? "",
      /^openai +gpt-6-luna \(default\) +128000 +unless sampled +\$0.10\/\$0.50 +2027-03-01 \(use gpt-7\) +temperature, top_p$/,
    );
    const local = { ...model, takes: null, price: null, retires_at: null, max_output_tokens: null };
    assert.match(modelTable([local], { paint: plain }), /everything/);
  });
});
