/** The version of the API; private.version() in SQL is the same, and a test compares them. */
export const VERSION = "1.0.0";
