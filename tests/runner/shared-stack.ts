// The stack that scenarios and hostile tests share: started once a run, named to the files by LAUNCHPAD_TEST_STACK.
import "./clean-environment.ts";
import { startTestStack } from "../helpers/stack.ts";

/** Starts it, unless it runs already for another project or was named from outside. */
export default async function sharedStack(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.LAUNCHPAD_TEST_STACK) return undefined;
  const stack = await startTestStack();
  process.env.LAUNCHPAD_TEST_STACK = JSON.stringify(stack.info);
  return async () => {
    delete process.env.LAUNCHPAD_TEST_STACK;
    await stack.stop();
  };
}
