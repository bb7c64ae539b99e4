// `launchpad fleet classes list | show | set | delete`, and `launchpad fleet class`
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { type Operator, openOperator } from "../fleet/operator.ts";
import { readObject, withLocations } from "../input/definition.ts";
import { counted } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

/** What operators give the agents of some users; docs/agent-classes.md describes its fields. */
type ClassDocument = Record<string, unknown>;

interface UserClass {
  name: string;
  users: number;
  updatedAt: string;
  class: ClassDocument;
}

/** `launchpad fleet classes list` */
export async function list(context: Context): Promise<void> {
  const classes = await readClasses(await openOperator(context));
  context.out.result(classes, (look) => classTable(classes, look));
}

/** `launchpad fleet classes show`: the document as `set --file` reads it. */
export async function show(context: Context, [name = ""]: readonly string[]): Promise<void> {
  const found = (await readClasses(await openOperator(context))).find((one) => one.name === name);
  if (found === undefined) {
    throw new CliError("notFound", `No class ${name}; \`launchpad fleet classes list\` shows them.`);
  }
  context.out.result(found.class, () => `${JSON.stringify(found.class, null, 2)}\n`);
}

interface SetOptions {
  file?: string;
  description?: string;
  image?: string;
  runtimeClass?: string;
  priorityClass?: string;
}

/** `launchpad fleet classes set`: the file's document, or the present one, with what the options name. */
export async function set(
  context: Context,
  [name = ""]: readonly string[],
  { file, ...options }: SetOptions,
): Promise<void> {
  const named = fieldsOf(options);
  if (file === undefined && Object.keys(named).length === 0) {
    throw new CliError("usage", "Nothing to set: add --file, or options such as --runtime-class gvisor.");
  }
  const operator = await openOperator(context);
  const given = file === undefined ? undefined : await readObject(file, "a class");
  const present = given?.value ?? (await readClasses(operator)).find((one) => one.name === name)?.class;
  const made = await operator
    .call<UserClass>("fleet_set_class", { name, class: { ...present, ...named } })
    .catch((error: unknown) => {
      throw given !== undefined && error instanceof CliError
        ? withLocations(error, given, "The class")
        : error;
    });
  context.out.result(made, () =>
    made.users === 0
      ? `Set ${name}. Give it to a user with \`launchpad fleet class <user> ${name}\`.\n`
      : `Set ${name}. It has ${counted(made.users, "user")}; \`launchpad fleet rollout status\` shows how their agents follow.\n`,
  );
}

/** `launchpad fleet classes delete` */
export async function remove(context: Context, [name]: readonly string[]): Promise<void> {
  const deleted = await (await openOperator(context)).call<object>("fleet_delete_class", { name });
  context.out.result(deleted, () => `Deleted the class ${name}.\n`);
}

/** `launchpad fleet class` */
export async function assign(context: Context, [account, name]: readonly string[]): Promise<void> {
  const operator = await openOperator(context);
  const done = await operator.call<{ userId: string; former: string }>("fleet_assign_class", {
    account,
    class: name,
  });
  context.out.result(done, () =>
    done.former === name
      ? `User ${done.userId} has the class ${name} already.\n`
      : `User ${done.userId} has the class ${name} now (before: ${done.former}). Running agents follow within seconds.\n`,
  );
}

const readClasses = (operator: Operator): Promise<UserClass[]> => operator.call("fleet_classes");

/** The fields of a class that options name. Pure. */
function fieldsOf({ description, image, priorityClass, runtimeClass }: SetOptions): ClassDocument {
  const fields = { description, image, runtimeClassName: runtimeClass, priorityClassName: priorityClass };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The table of classes. Pure. */
function classTable(classes: readonly UserClass[], look: Look): string {
  return table(
    classes,
    [
      { title: "CLASS", value: ({ name }) => name },
      { title: "USERS", value: ({ users }) => String(users) },
      {
        title: "SETS",
        value: ({ class: { description: _, ...fields } }) => Object.keys(fields).join(", ") || "nothing",
      },
      { title: "DESCRIPTION", value: (one) => oneLine(String(one.class.description ?? "")), shrinks: true },
    ],
    look,
  );
}
