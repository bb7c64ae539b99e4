// What a person does about a platform's refusal, beside the platform's own words.

const DISCORD_TOKEN =
  "Set DISCORD_TOKEN in the agent's environment to the bot's token (Discord Developer Portal, page Bot).";
const TELEGRAM_TOKEN =
  "Set TELEGRAM_BOT_TOKEN in the agent's environment to the token that @BotFather shows for the bot.";

const CURES: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  discord: [
    [
      /disallowed intents/i,
      "Turn on the intents Presence, Server Members and Message Content on the page Bot of the Discord Developer Portal.",
    ],
    [/token|authentication failed|401/i, DISCORD_TOKEN],
  ],
  telegram: [
    [/^40[14]\b|token/i, TELEGRAM_TOKEN],
    [
      /^409\b/,
      "Stop the other program that uses this bot's token, or give the agent a bot that only it uses.",
    ],
  ],
};

/**
 * The words with their cure, where one is known. Pure.
 * @example withCure("telegram", "401: Unauthorized")
 */
export function withCure(platform: string, words: string): string {
  const cure = CURES[platform]?.find(([pattern]) => pattern.test(words))?.[1];
  if (cure === undefined || words.includes(cure)) return words;
  return `${words.replace(/\.$/, "")}. ${cure}`;
}
