"""Python types from the JSON Schemas of the API's description."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def pascal(name: str) -> str:
    """`supabase_config` → `SupabaseConfig`, `readyReplicas` → `ReadyReplicas`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_\-\s]+", name))


def snake(name: str) -> str:
    """`agentName` → `agent_name`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


@dataclass
class Declaration:
    """One name of the module of models."""

    name: str
    text: str


class Types:
    """Collects declarations; nested objects are named after where they stand.

    What is answered takes values that a newer server knows: its enumerations are open. What is asked is closed.
    """

    def __init__(self, named: Mapping[str, Schema], asked: Collection[str] = ()) -> None:
        self.named = named
        self.asked = asked
        # Whether what is being declared is answered alone.
        self.answered = False
        self.done: dict[str, Declaration] = {}
        self.open: set[str] = set()

    def all(self) -> Iterator[Declaration]:
        """Every named schema and what it needs, each after what it needs."""
        for name in self.named:
            self.declare(name, self.named[name])
        yield from self.done.values()

    def declare(self, name: str, schema: Schema) -> None:
        """Adds a schema under its name, once."""
        if name in self.done:
            return
        if name in self.open:
            raise ValueError(f"{name} refers to itself")
        self.open.add(name)
        before = self.answered
        if name in self.named:
            self.answered = name not in self.asked
        if schema.get("type") == "object" and "properties" in schema:
            text = self.record(name, schema)
        elif "enum" in schema and self.answered:
            # What is named and open has a closed twin, for arguments.
            text = (
                f"Known{name}: TypeAlias = {literals(schema)}\n"
                f'"""The values of {name} that this version knows."""\n\n'
                f"{name}: TypeAlias = Known{name} | str\n{comment(schema)}"
            )
        else:
            text = f"{name}: TypeAlias = {self.type_of(schema, name)}\n{comment(schema)}"
        self.answered = before
        self.done[name] = Declaration(name, text)

    def record(self, name: str, schema: Schema) -> str:
        """A TypedDict of an object's members."""
        required = set(schema.get("required", ()))
        lines = [f"class {name}(TypedDict):", comment(schema, "    ", alone=True)]
        for field, member in schema["properties"].items():
            kind = self.type_of(member, name + pascal(field))
            lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
            lines.append(comment(member, "    "))
        if not schema["properties"]:
            lines.append("    pass")
        return "\n".join(line for line in lines if line) + "\n"

    def type_of(self, schema: Schema, name: str) -> str:
        """The type of a schema; `name` is what a nested object is called."""
        if "$ref" in schema:
            target = schema["$ref"].rsplit("/", 1)[1]
            self.declare(target, self.named[target])
            return self.with_others(target, self.named[target])
        if "const" in schema:
            return f"Literal[{schema['const']!r}]"
        if "enum" in schema:
            return literals(schema) + (" | str" if self.answered else "")
        if "anyOf" in schema:
            return self.union([self.type_of(option, name) for option in schema["anyOf"]])
        kind = schema.get("type")
        if isinstance(kind, list):
            return self.union([self.type_of({**schema, "type": one}, name) for one in kind])
        if kind == "array":
            singular = name.removesuffix("s")
            return f"list[{self.type_of(schema.get('items', {}), singular)}]"
        if kind == "object":
            return self.object_of(schema, name)
        return SCALARS[kind] if kind is not None else "Any"

    def object_of(self, schema: Schema, name: str) -> str:
        """A nested object: a TypedDict of its own, or a plain dictionary."""
        if schema.get("properties"):
            self.declare(name, schema)
            return self.with_others(name, schema)
        values = schema.get("additionalProperties")
        return f"dict[str, {self.type_of(values, name) if values else 'Any'}]"

    @staticmethod
    def with_others(name: str, schema: Schema) -> str:
        """The name of an object; where it may have members of other names too, also any mapping."""
        is_open = schema.get("properties") and schema.get("additionalProperties") in ({}, True)
        return f"{name} | Mapping[str, Any]" if is_open else name

    @staticmethod
    def union(options: list[str]) -> str:
        """The options, each once."""
        return " | ".join(dict.fromkeys(options))


def literals(schema: Schema) -> str:
    """The values of an enumeration."""
    return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"


def asked_for(document: Any, named: Mapping[str, Schema]) -> set[str]:
    """The named schemas that what is asked consists of; `document` is what refers to them."""
    found: set[str] = set()

    def visit(value: Any) -> None:
        if isinstance(value, Mapping):
            name = str(value.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in named and name not in found:
                found.add(name)
                visit(named[name])
            for member in value.values():
                visit(member)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit(document)
    return found


def comment(schema: Schema, indent: str = "", *, alone: bool = False) -> str:
    """The description as a docstring, or nothing."""
    text = schema.get("description")
    if not text:
        return ""
    return f'{indent}"""{text}"""' + ("\n" if alone else "")
