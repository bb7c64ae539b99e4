/** What is used of unpdf. Its own types need those of a canvas, which nothing here draws on. */
declare module "unpdf" {
  interface Pdf {
    readonly numPages: number;
  }
  export function getDocumentProxy(bytes: Uint8Array, options: { readonly verbosity: 0 }): Promise<Pdf>;
  export function extractText(pdf: Pdf): Promise<{ readonly totalPages: number; readonly text: string[] }>;
}
