/** What the model is given, whichever of the two ways its agent runs. Text of other agents and of tools stands between marks. */
import type { ModelMessage } from "ai";
import {
  knowledgeRule,
  type Piece,
  withKnowledge,
} from "../../../packages/agent-runtime/src/abilities/knowledge.ts";
import { attribute, markMessage, markRule } from "../../../packages/agent-runtime/src/abilities/marks.ts";
import type { Turn } from "../../../packages/agent-runtime/src/engines/engine.ts";
import { composeInstructions } from "../../../packages/agent-runtime/src/engines/model/instructions.ts";
import type { Task } from "./task.ts";

export interface Prompt {
  readonly instructions: string;
  readonly messages: ModelMessage[];
}

/**
 * Composes instructions and messages. Pure.
 * @param task the answer wanted; its messages are trimmed already, oldest first
 * @param word the random word of the marks
 * @param found what the agent's knowledge has for the last message
 */
export function composePrompt(task: Task, word: string, found: readonly Piece[] = []): Prompt {
  const { agent } = task;
  const messages = conversation(task, word).map(({ role, content }) => ({ role, content }));
  const persona = {
    name: agent.name,
    character: agent.character,
    systemPrompt: agent.systemPrompt ?? undefined,
  };
  return {
    instructions: [composeInstructions(persona), ...rulesOf(task, word, found)].join("\n\n"),
    messages: messages.with(-1, {
      role: "user",
      content: withKnowledge(messages.at(-1)?.content ?? "", found, word),
    }),
  };
}

/** What the model is told besides its instructions: its company, and what the marks mean. */
function rulesOf({ agent, swarm, tools }: Task, word: string, found: readonly Piece[]): string[] {
  const rules: string[] = [];
  if (swarm) {
    const others = swarm.members.filter((name) => name !== agent.name);
    const company = others.length > 0 ? ` with ${others.map((name) => `@${name}`).join(", ")}` : "";
    rules.push(
      `You are ${agent.name} in the group "${attribute(swarm.name)}"${company}. Speak for yourself alone. To ask another member, write its name with an @.`,
    );
  }
  if (swarm || tools.length > 0) rules.push(markRule(word));
  if (found.length > 0) rules.push(knowledgeRule(word));
  return rules;
}

/** The same for a runtime, which has the agent's instructions: what has been said since its own last words, and all before. */
export function composeMessage(
  task: Task,
  word: string,
  found: readonly Piece[] = [],
): { text: string; history: Turn[]; rules?: string } {
  const history = conversation(task, word);
  const text = history.pop()?.content ?? "";
  const rules = rulesOf(task, word, found);
  return { text, history, ...(rules.length > 0 && { rules: rules.join("\n\n") }) };
}

/** What stands for the question where the agent spoke last: its next round, with no other member's words between. */
const GO_ON = "It is your turn again. Continue from what you said last.";

function conversation(task: Task, word: string): Turn[] {
  const turns = alternate(
    task.messages.map(({ id, role, name, content }) =>
      role === "self"
        ? { id, role: "assistant", content }
        : {
            id,
            role: "user",
            content: role === "agent" ? markMessage(content, name ?? "a deleted agent", word) : content,
          },
    ),
  );
  // Providers refuse a conversation that ends with the assistant, and a runtime an empty message.
  if (turns.at(-1)?.role !== "user") turns.push({ role: "user", content: GO_ON });
  return turns;
}

/** Providers want a conversation that a user begins and in which the roles alternate. */
function alternate(all: readonly Turn[]): Turn[] {
  const result: { id?: string | undefined; role: "user" | "assistant"; content: string }[] = [];
  for (const { id, role, content } of all) {
    const last = result.at(-1);
    if (last === undefined && role === "assistant") continue;
    if (last?.role === role) Object.assign(last, { id, content: `${last.content}\n\n${content}` });
    else result.push({ id, role, content });
  }
  return result;
}
