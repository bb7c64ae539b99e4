// Gives a test file a database server with pgvector, beside the one that the other files of the run share. Import it first.
import { pgvector } from "../../scripts/pgvector.ts";

process.env.LAUNCHPAD_POSTGRES_EXTENSIONS = await pgvector();
process.env.LAUNCHPAD_TEST_RUN = `${process.env.LAUNCHPAD_TEST_RUN ?? process.ppid}-vector`;
