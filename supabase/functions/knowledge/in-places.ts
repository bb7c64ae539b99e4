/** Work on files, some at once: claims as many as there are free places, until none waits. */
import { ClaimedWork } from "../_shared/claimed-work.ts";

export interface PlacedWork<Job> {
  /** Files at once. */
  readonly places: number;
  /** Claims at most so many. */
  claim(count: number): Promise<readonly Job[]>;
  /** Must not reject. */
  carryOut(job: Job): Promise<void>;
  /** Told why nothing could be claimed. */
  failed(cause: unknown): void;
}

/** The work of one kind; nothing is claimed before it is woken. */
export function inPlaces<Job>({ places, claim, carryOut, failed }: PlacedWork<Job>): ClaimedWork {
  const work = new ClaimedWork(async () => {
    while (work.size >= places) await work.oneEnds();
    try {
      const jobs = await claim(places - work.size);
      for (const job of jobs) work.start(carryOut(job));
      return jobs.length > 0;
    } catch (error) {
      failed(error);
      return false;
    }
  });
  return work;
}
