"""Writes what is generated: the models and operations from docs/openapi.json, the sync client from the async one.

`python tools/generate.py` writes; `--check` fails where a committed file differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schema import Types, asked_for, comment, pascal, snake
from unasync import synchronous

PACKAGE = Path(__file__).resolve().parent.parent
SOURCE = PACKAGE / "src" / "agent_launchpad"
DOCUMENT = PACKAGE.parent.parent / "docs" / "openapi.json"

# Written by hand for each client: where they differ in more than words.
TWICE = {"_platform.py", "subscribing.py", "subscriptions.py"}

NOTE = "Generated from docs/openapi.json by tools/generate.py: do not edit."

# What the arguments of a query are called; a query without arguments needs no name.
QUERIES = {
    "listAgents": "ListAgentsQuery",
    "listAgentRevisions": "PageQuery",
    "getAgentMetrics": "AgentMetricsQuery",
    "getAgentLogs": "AgentLogsQuery",
    "listSecurityEvents": "SecurityEventsQuery",
    "listPlugins": "PluginsQuery",
}

# Bodies whose fields are keyword arguments.
ARGUMENTS = {
    "LaunchAgentRequest": "LaunchAgentArguments",
    "UpdateAgentRequest": "UpdateAgentArguments",
    "UpdateProfileRequest": "UpdateProfileArguments",
}


def main() -> int:
    """Writes or checks every generated file."""
    check = "--check" in sys.argv[1:]
    stale = []
    for path, text in files():
        wanted = formatted(text, path)
        if check and (not path.exists() or path.read_text("utf8") != wanted):
            stale.append(str(path.relative_to(PACKAGE)))
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, "utf8")
    for name in stale:
        print(f"{name} is not current: run `python tools/generate.py` and commit it", file=sys.stderr)
    return 1 if stale else 0


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold, not yet formatted."""
    document = json.loads(DOCUMENT.read_text("utf8"))
    yield SOURCE / "models.py", models(document)
    yield SOURCE / "_operations.py", operations(document)
    for path in sorted((SOURCE / "_async").glob("*.py")):
        if path.name not in TWICE:
            yield SOURCE / "_sync" / path.name, synchronous(path.read_text("utf8"), path.name)


def models(document: Mapping[str, Any]) -> str:
    """The module of types."""
    named = document["components"]["schemas"]
    types = Types(named, asked_for([each.get("requestBody") for each in each_operation(document)], named))
    parts = [each.text for each in types.all()]
    for wire, name in ARGUMENTS.items():
        renamed = {snake(field): member for field, member in named[wire]["properties"].items()}
        required = [snake(field) for field in named[wire].get("required", ())]
        # The members are the request's own: nested objects keep the names they have there.
        lines = [f"class {name}(TypedDict):", f'    """The fields of {wire} as keyword arguments."""', ""]
        for field, member in renamed.items():
            origin = next(key for key in named[wire]["properties"] if snake(key) == field)
            kind = types.type_of(member, wire + pascal(origin))
            lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
            lines.append(comment(member, "    "))
        parts.append("\n".join(line for line in lines if line) + "\n")
    for operation in each_operation(document):
        if query := QUERIES.get(operation["operationId"]):
            schema = {
                "description": f"What may be asked of {operation['operationId']}.",
                "properties": {
                    parameter["name"]: {
                        **parameter["schema"],
                        **({"description": text} if (text := parameter.get("description")) else {}),
                    }
                    for parameter in query_of(operation)
                },
            }
            parts.append(types.record(query, schema))
    codes = named["ErrorEnvelope"]["properties"]["error"]["properties"]["code"]["enum"]
    parts.append(f"ApiErrorCode: TypeAlias = Literal[{', '.join(map(repr, codes))}]\n")
    head = (
        f'"""Requests and responses of the API, as dictionaries with known keys.\n\n{NOTE}\n"""\n\n'
        "from __future__ import annotations\n\nfrom collections.abc import Mapping\nfrom typing import Any, Literal\n\n"
        "from typing_extensions import NotRequired, TypeAlias, TypedDict\n\n\n"
    )
    return head + "\n\n".join(parts)


def operations(document: Mapping[str, Any]) -> str:
    """The module that tells how each operation is called."""
    rows, names = [], {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] == "getOpenApi":
                continue
            constant = snake(operation["operationId"]).upper()
            keyed = any(p.get("$ref", "").endswith("/IdempotencyKey") for p in operation.get("parameters", ()))
            rows.append(f"{constant} = Operation({method.upper()!r}, {path!r}, idempotency_key={keyed})")
    for wire, name in ARGUMENTS.items():
        fields = document["components"]["schemas"][wire]["properties"]
        names[name] = {snake(field): field for field in fields}
    tables = [f"{snake(name).upper()} = {mapping!r}" for name, mapping in names.items()]
    errors: dict[str, int] = {}
    for response in document["components"]["responses"]:
        status = int(response.removeprefix("Error"))
        description = document["components"]["responses"][response]["description"]
        errors |= {line.split("`")[1]: status for line in description.split("\n\n")}
    head = (
        f'"""How each operation of the API is called.\n\n{NOTE}\n"""\n\n'
        "from __future__ import annotations\n\nfrom ._call import Operation\n\n"
    )
    note = "# From the keyword argument to the field of the request.\n"
    return (
        head
        + "\n".join(rows)
        + "\n\n"
        + note
        + "\n".join(tables)
        + f"\n\n# The HTTP status of each error code.\nERROR_STATUS = {errors!r}\n"
    )


def each_operation(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every operation of the document."""
    for methods in document["paths"].values():
        yield from methods.values()


def query_of(operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The query parameters of an operation."""
    return [p for p in operation.get("parameters", ()) if p.get("in") == "query"]


def formatted(text: str, path: Path) -> str:
    """The text as ruff sorts and formats it."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(path)]
    sorted_ = subprocess.run(
        [*ruff, "check", "--select", "I", "--fix", "--quiet", *name, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE,
    ).stdout
    return subprocess.run(
        [*ruff, "format", *name, "-"], input=sorted_, capture_output=True, text=True, check=True, cwd=PACKAGE
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
