/** What a rule of the database refused, as the service that answers says it: a code of the API or an SQLSTATE. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
}

const refusals = new WeakMap<Response, Refusal>();

/** Tells whoever passes the answer on that it is a refusal. Takes the answer; gives it back. */
export function refusedBy(response: Response, refusal: Refusal): Response {
  refusals.set(response, refusal);
  return response;
}

/** Why an answer is a refusal; undefined where it is none. */
export const refusalOf = (response: Response): Refusal | undefined => refusals.get(response);
