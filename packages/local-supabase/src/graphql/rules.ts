// The rules that a GraphQL document is judged by: graphql-js's, as lenient with lists as pg_graphql.

import {
  type GraphQLError,
  specifiedRules,
  type ValidationRule,
  VariablesInAllowedPositionRule,
} from "graphql";

/** `[AgentsOrderBy]` → `AgentsOrderBy`. */
const named = (type: string): string => type.replace(/[[\]!]/g, "");

/** Lets a variable stand where only the lists or the `!` of its type differ: `[T]` for `[T!]`, `T` for a list of one. */
const variables: ValidationRule = (context) => {
  const reportError = (error: GraphQLError): void => {
    const [, given, wanted] =
      /of type "([^"]+)" used in position expecting type "([^"]+)"/.exec(error.message) ?? [];
    if (
      given === undefined ||
      wanted === undefined ||
      named(given) !== named(wanted) ||
      wanted.endsWith("!")
    ) {
      context.reportError(error);
    }
  };
  return VariablesInAllowedPositionRule(Object.create(context, { reportError: { value: reportError } }));
};

export const RULES: readonly ValidationRule[] = specifiedRules.map((rule) =>
  rule === VariablesInAllowedPositionRule ? variables : rule,
);
