/** One captured e-mail. */
export interface Mail {
  id: number;
  to: string;
  subject: string;
  text: string;
  html: string | null;
  sentAt: string;
}

export interface Mailbox {
  /** Keeps a message; this is auth's e-mail driver. */
  send(message: { to: string; subject: string; text?: string; html?: string }): Promise<void>;
  /** Newest first; with `to`, only that recipient's. */
  list(to?: string): readonly Mail[];
}

/** A mailbox in memory. Takes how many messages it keeps before it forgets the oldest. */
export function createMailbox(keep = 200): Mailbox {
  const mails: Mail[] = [];
  let lastId = 0;
  return {
    async send({ to, subject, text, html }) {
      lastId += 1;
      mails.unshift({
        id: lastId,
        to,
        subject,
        text: text ?? "",
        html: html ?? null,
        sentAt: new Date().toISOString(),
      });
      mails.length = Math.min(mails.length, keep);
    },
    list: (to) => (to ? mails.filter((mail) => mail.to.toLowerCase() === to.toLowerCase()) : mails),
  };
}
