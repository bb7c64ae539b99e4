/** Lets one message of a conversation be answered at a time, so that its turns keep their order. */
export class Turns {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs a task after the earlier ones of the same conversation, whether those succeeded or not. */
  async run<T>(conversationId: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(conversationId) ?? Promise.resolve();
    const mine = before.then(task);
    const tail = mine.catch(() => undefined);
    this.#tails.set(conversationId, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(conversationId) === tail) this.#tails.delete(conversationId);
    }
  }
}
