// `launchpad models list | add | retire`
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { openOperator } from "../fleet/operator.ts";
import { dollars } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";

/** A model of the catalogue with its present price. */
export interface CatalogueModel {
  readonly framework: string;
  readonly name: string;
  readonly default: boolean;
  readonly takes: string[] | null;
  readonly max_output_tokens: number | null;
  readonly thinks: string | null;
  readonly api: string | null;
  readonly retires_at: string | null;
  readonly successor: string | null;
  readonly price: { inputMicros: number; outputMicros: number; cachedInputMicros: number } | null;
}

const COLUMNS =
  "framework, name, takes, max_output_tokens, max_temperature, max_stops, thinks, calls_tools, api, retires_at, successor";

interface PriceRow {
  readonly framework: string;
  readonly model: string;
  readonly input_micros_per_million: number;
  readonly output_micros_per_million: number;
  readonly cached_input_micros_per_million: number;
  readonly valid_from: string;
}

/** The price that counts now: the newest that has begun. Pure. */
function priceOf(
  { framework, name }: { framework: string; name: string },
  prices: readonly PriceRow[],
  now: string,
): CatalogueModel["price"] {
  const [price] = prices
    .filter((row) => row.framework === framework && row.model === name)
    .filter(({ valid_from: from }) => Date.parse(from) <= Date.parse(now))
    .sort((a, b) => Date.parse(b.valid_from) - Date.parse(a.valid_from));
  return price === undefined
    ? null
    : {
        inputMicros: price.input_micros_per_million,
        outputMicros: price.output_micros_per_million,
        cachedInputMicros: price.cached_input_micros_per_million,
      };
}

/** `launchpad models list` */
export async function list(
  context: Context,
  _args: readonly string[],
  { framework, retired }: { framework?: string; retired?: boolean },
): Promise<void> {
  const { url, key } = await context.project();
  const { createClient } = await import("@supabase/supabase-js");
  const client = createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } });
  const read = async <T>(name: string, columns: string): Promise<T[]> => {
    const { data, error, status } = await client.from(name).select(columns).abortSignal(context.signal);
    if (error === null) return data as T[];
    throw Object.assign(new Error(error.message), { code: error.code, cause: error, status });
  };
  const [rows, frameworks, prices] = await Promise.all([
    read<Omit<CatalogueModel, "default" | "price">>("models", COLUMNS),
    read<{ name: string; default_model: string }>("frameworks", "name, default_model"),
    read<PriceRow>("model_prices", "*"),
  ]);
  const today = new Date().toISOString();
  const models = rows
    .filter((row) => framework === undefined || row.framework === framework)
    .filter(({ retires_at: day }) => retired || day === null || day > today.slice(0, 10))
    .map((row) => ({
      ...row,
      default: frameworks.some((one) => one.name === row.framework && one.default_model === row.name),
      price: priceOf(row, prices, today),
    }))
    .sort((a, b) => a.framework.localeCompare(b.framework) || a.name.localeCompare(b.name));
  context.out.result({ models }, (look) => modelTable(models, look));
}

interface AddOptions {
  takes?: string;
  maxOutput?: number;
  maxTemperature?: number;
  maxStops?: number;
  thinks?: string;
  tools: boolean;
  api?: string;
  price?: string;
  default?: boolean;
}

/** `launchpad models add` */
export async function add(
  context: Context,
  [framework = "", name = ""]: readonly string[],
  options: AddOptions,
): Promise<void> {
  const { takes, maxOutput, maxTemperature, maxStops, thinks, tools, api, price } = options;
  const operator = await openOperator(context);
  const model = {
    framework,
    name,
    ...(takes !== undefined && { takes: takes.split(",").filter((setting) => setting !== "") }),
    ...(maxOutput !== undefined && { max_output_tokens: maxOutput }),
    ...(maxTemperature !== undefined && { max_temperature: maxTemperature }),
    ...(maxStops !== undefined && { max_stops: maxStops }),
    ...(thinks !== undefined && { thinks: thinks.replaceAll("-", "_") }),
    ...(!tools && { calls_tools: false }),
    ...(api !== undefined && { api }),
    ...(price !== undefined && { price: pricesOf(price) }),
    ...(options.default && { default: true }),
  };
  const made = await operator.call<CatalogueModel>("put_model", { model });
  context.out.result(made, (look) => modelTable([made], look));
  if (made.price === null)
    context.out.note("It has no price: agents under a budget cannot use it. Add one with --price 2.5/10.");
}

interface RetireOptions {
  on?: string;
  successor?: string;
  stillTaken?: boolean;
  undo?: boolean;
}

/** `launchpad models retire` */
export async function retire(
  context: Context,
  [framework = "", name = ""]: readonly string[],
  { on, successor, stillTaken, undo }: RetireOptions,
): Promise<void> {
  const operator = await openOperator(context);
  const day = undo ? null : (on ?? new Date().toISOString().slice(0, 10));
  const retired = await operator.call<CatalogueModel & { agents: number }>("retire_model", {
    framework,
    name,
    retires_at: day,
    successor: successor ?? null,
    still_taken: stillTaken ?? false,
  });
  context.out.result(retired, () =>
    day === null
      ? `${name} is offered again.\n`
      : `${name} retires on ${retired.retires_at}. ${retired.agents === 1 ? "1 agent uses it; its status says so" : `${retired.agents} agents use it; their status says so`}.\n`,
  );
}

/**
 * Prices in dollars per million tokens, `input/output` or `input/output/cached`, as millionths. Pure.
 * @throws CliError for anything else
 */
export function pricesOf(text: string): {
  inputMicros: number;
  outputMicros: number;
  cachedInputMicros?: number;
} {
  const parts = text.split("/");
  if (parts.length < 2 || parts.length > 3 || !parts.every((part) => /^\d{1,3}(\.\d{1,6})?$/.test(part))) {
    const message = `--price must be dollars per million tokens such as 2.5/10 or 2.5/10/1.25, got "${text.slice(0, 50)}".`;
    throw new CliError("usage", message, { code: "USAGE" });
  }
  const [inputMicros = 0, outputMicros = 0, cachedInputMicros] = parts.map((part) =>
    Math.round(Number(part) * 1_000_000),
  );
  return { inputMicros, outputMicros, ...(cachedInputMicros !== undefined && { cachedInputMicros }) };
}

/** The table of models. Pure. */
export function modelTable(models: readonly CatalogueModel[], look: Look): string {
  if (models.length === 0) return "";
  return table(
    models,
    [
      { title: "FRAMEWORK", value: ({ framework }) => framework },
      { title: "MODEL", value: (model) => model.name + (model.default ? " (default)" : "") },
      { title: "MAX OUTPUT", value: ({ max_output_tokens: most }) => String(most ?? ""), align: "right" },
      { title: "THINKS", value: ({ thinks }) => thinks?.replaceAll("_", " ") ?? "" },
      {
        title: "$/M IN/OUT",
        value: ({ price }) =>
          price === null ? "" : `${dollars(price.inputMicros)}/${dollars(price.outputMicros)}`,
      },
      {
        title: "RETIRES",
        value: ({ retires_at, successor }) =>
          retires_at === null ? "" : retires_at + (successor === null ? "" : ` (use ${successor})`),
      },
      { title: "TAKES", value: ({ takes }) => takes?.join(", ") ?? "everything", shrinks: true },
    ],
    look,
  );
}
