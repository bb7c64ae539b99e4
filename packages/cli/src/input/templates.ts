// The definitions that `launchpad init` writes.

/** What each template is for; `launchpad init --help` lists the names. */
export type Template = "basic" | "tools" | "elizaos" | "public";

const HEAD = `# An agent. Create or change it:  launchpad apply -f FILE
# Every field: docs/characters.md, docs/models.md and the API reference at <address>/docs.
agentName: NAME
`;

const MODEL = `
# Which model answers. Left out: the project's default. Names: launchpad models
# framework: openai
# model: gpt-6-luna

# Secrets, as environment variables. Keep values out of this file: launchpad apply -f FILE --env-file .env
# environment:
#   OPENAI_API_KEY: sk-…
`;

const SIZE = `
# What one replica may use.
resources:
  memory: 256Mi
  cpu: 250m
`;

const IDLE = `
# Sleep after 15 idle minutes; a request or a message wakes the agent.
idle:
  afterSeconds: 900
`;

const templates: Record<Template, string> = {
  basic: `${HEAD}description: Answers questions in one sentence

character:
  name: Ada
  bio: A patient helper
  system: You answer in one sentence.
${MODEL}${SIZE}${IDLE}`,

  tools: `${HEAD}description: Looks things up before it answers

character:
  name: Rhea
  bio: A researcher who names sources
  system: Look things up with your tools. Say where each fact comes from.

# Tools of an MCP server, as many as it offers. Add #TOKEN_NAME to send a secret as its bearer token.
# plugins:
#   - mcp:https://tools.example.com/mcp
${MODEL}${SIZE}${IDLE}`,

  elizaos: `${HEAD}description: Runs on elizaOS

# A plugin of elizaOS makes the agent run on its runtime, which the first launch installs.
plugins:
  - "@elizaos/plugin-bootstrap"

# An elizaOS character. A character file alone is a definition too: launchpad apply -f character.json
character:
  name: Eliza
  bio:
    - Likes short answers
  style:
    all:
      - Be brief
${MODEL}
resources:
  memory: 768Mi
  cpu: 500m
`,

  public: `${HEAD}description: Answers visitors of a web page

character:
  name: Piet
  bio: Knows the opening hours of the shop
  system: Answer questions about the shop. Politely decline everything else.

# Everybody may send messages to the agent's address, within these tokens a day.
visibility: public
maxTokensPerDay: 100000
${MODEL}${SIZE}${IDLE}`,
};

/**
 * The text of a new definition. Pure.
 * @param template which one
 * @param facts `name`: the agent's; `file`: how the file is called, for the commands in its comments; `framework`: who answers
 */
export function definitionText(
  template: Template,
  { name, file, framework }: { name: string; file: string; framework?: string | undefined },
): string {
  return templates[template]
    .replace("agentName: NAME", () => `agentName: ${JSON.stringify(name)}`)
    .replace("# framework: openai\n", (line) =>
      framework === undefined ? line : `framework: ${JSON.stringify(framework)}\n`,
    )
    .replaceAll("FILE", () => file);
}
