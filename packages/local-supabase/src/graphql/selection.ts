// Collects the fields that a request selects.

import {
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLIncludeDirective,
  GraphQLObjectType,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getArgumentValues,
  getDirectiveValues,
  getNamedType,
  Kind,
  type SelectionSetNode,
} from "graphql";
import { type Meaning, meaningOf } from "./schema.ts";

/** A field that is asked for, with all that is asked for of it in one place. */
export interface Selected {
  /** The key in the answer: the alias, or the name. */
  key: string;
  name: string;
  meaning: Meaning | undefined;
  arguments: Record<string, unknown>;
  /** The object type of its value; undefined for scalars and interfaces. */
  type: GraphQLObjectType | undefined;
  sets: readonly SelectionSetNode[];
}

export interface Operation {
  schema: GraphQLSchema;
  fragments: Readonly<Record<string, FragmentDefinitionNode>>;
  variables: Record<string, unknown>;
}

/**
 * The fields that selection sets ask of an object type (the specification's CollectFields), `__typename` left out.
 * Throws GraphQLError where an argument has no right value.
 */
export function fieldsOf(
  operation: Operation,
  type: GraphQLObjectType,
  sets: readonly SelectionSetNode[],
): Selected[] {
  const found = new Map<string, FieldNode[]>();
  const spread = new Set<string>();
  for (const set of sets) collect(operation, type, set, found, spread);
  const selected: Selected[] = [];
  for (const [key, nodes] of found) {
    const [node] = nodes;
    const definition = node && type.getFields()[node.name.value];
    if (!node || !definition) continue; // __typename, __schema, __type: not the database's
    const named = getNamedType(definition.type);
    selected.push({
      key,
      name: node.name.value,
      meaning: meaningOf(definition),
      arguments: getArgumentValues(definition, node, operation.variables),
      type: named instanceof GraphQLObjectType ? named : undefined,
      sets: nodes.flatMap(({ selectionSet }) => selectionSet ?? []),
    });
  }
  return selected;
}

function collect(
  operation: Operation,
  type: GraphQLObjectType,
  set: SelectionSetNode,
  found: Map<string, FieldNode[]>,
  spread: Set<string>,
): void {
  for (const selection of set.selections) {
    const skip = getDirectiveValues(GraphQLSkipDirective, selection, operation.variables);
    const include = getDirectiveValues(GraphQLIncludeDirective, selection, operation.variables);
    if (skip?.if === true || include?.if === false) continue;
    if (selection.kind === Kind.FIELD) {
      const key = selection.alias?.value ?? selection.name.value;
      const nodes = found.get(key);
      if (nodes) nodes.push(selection);
      else found.set(key, [selection]);
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      if (applies(operation, type, selection.typeCondition?.name.value)) {
        collect(operation, type, selection.selectionSet, found, spread);
      }
    } else {
      const fragment = operation.fragments[selection.name.value];
      if (!fragment || spread.has(selection.name.value)) continue;
      spread.add(selection.name.value);
      if (applies(operation, type, fragment.typeCondition.name.value)) {
        collect(operation, type, fragment.selectionSet, found, spread);
      }
    }
  }
}

function applies({ schema }: Operation, type: GraphQLObjectType, condition: string | undefined): boolean {
  if (condition === undefined || condition === type.name) return true;
  return (
    type.getInterfaces().some(({ name }) => name === condition) && schema.getType(condition) !== undefined
  );
}
