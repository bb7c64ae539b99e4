// Ids of conversations. Users and keys may choose theirs, which mean something to them alone; a public agent's callers get
// one that only its replicas can make: who has it is the caller it was made for.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

export interface ConversationIds {
  /**
   * The id under which a message is answered: the given one where it is this caller's, else a new one.
   * @param caller as the door names it
   */
  settle(caller: string, given: string | undefined): string;
}

/**
 * Makes the ids of one agent.
 * @param messageKey known to every replica of the agent, never to its callers
 */
export function createConversationIds(messageKey: string | undefined): ConversationIds {
  const seal = (id: string) =>
    createHmac("sha256", messageKey ?? "")
      .update(`conversation ${id}`)
      .digest("base64url");
  const isOurs = (given: string): boolean => {
    const [id = "", sealed = ""] = given.split(".");
    const expected = Buffer.from(seal(id));
    const actual = Buffer.from(sealed);
    return (
      actual.length === expected.length && timingSafeEqual(actual, expected) && given === `${id}.${sealed}`
    );
  };
  return {
    settle(caller, given) {
      if (caller !== "public") return given ?? randomUUID();
      if (messageKey !== undefined && given !== undefined && isOurs(given)) return given;
      const id = randomUUID();
      return messageKey === undefined ? id : `${id}.${seal(id)}`;
    },
  };
}
