/** What a check found. `skipped`: it could not look; `warning`: it works, but not as it should. */
export type State = "ok" | "warning" | "problem" | "skipped";

export interface Finding {
  check: string;
  state: State;
  /** One sentence: what is, and what to do about it. */
  message: string;
}

/** @param check the check's name */
export const finding = (check: string, state: State, message: string): Finding => ({ check, state, message });
