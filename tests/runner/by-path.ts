// The order of test files: by path, so that a run on one machine can be repeated on another.
import type { TestSequencer, TestSpecification } from "vitest/node";
import { BaseSequencer } from "vitest/node";

/** Sorts by path, where vitest would put first what failed or was slow on this machine. */
export class ByPath extends BaseSequencer implements TestSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => (a.moduleId < b.moduleId ? -1 : 1));
  }
}
