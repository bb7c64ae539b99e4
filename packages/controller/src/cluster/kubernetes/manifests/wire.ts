// Kubernetes' own types as its objects travel: with `satisfies Wire<V1Pod>` a field that Kubernetes does not have does not compile.

/** The generated types put `_` before words of JavaScript (`_from`, `_default`); the API does not. */
type Name<Key> = Key extends `_${infer Plain}` ? Plain : Key;

/**
 * A type of `@kubernetes/client-node` as JSON has it: times are texts, names are those of the API, and what is optional may
 * be undefined, since JSON leaves it out. Never import more than types of that package in this folder: it is large.
 * @example `{ serviceAccountName: "ada", containers: [] } satisfies Wire<V1PodSpec>`
 */
export type Wire<T> = 0 extends 1 & T
  ? T
  : T extends Date
    ? string
    : T extends readonly (infer Element)[]
      ? readonly Wire<Element>[]
      : T extends object
        ? {
            [Key in keyof T as Name<Key>]:
              | Wire<T[Key]>
              | (T extends Required<Pick<T, Key>> ? never : undefined);
          }
        : T;

/**
 * Fields to spread into an object where there is a reason to, else none. TypeScript does not check the names in a bare
 * `...(condition ? { … } : {})`; here it does.
 * @example `...optional<V1PodSpec>(secrets.length > 0 && { imagePullSecrets: secrets })`
 */
export function optional<T>(fields: Partial<Wire<T>> | false): Partial<Wire<T>> {
  return fields || {};
}
