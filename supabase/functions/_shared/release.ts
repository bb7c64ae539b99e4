/** The release that these functions belong to; `npm run release` writes it. The API's own version is contract/version.ts. */
export const RELEASE = "0.2.0";
