"""VS Code's launch.json: configurations that attach to debugged functions, beside whatever else is in it. Pure.

The file is JSON with comments and trailing commas
(https://code.visualstudio.com/docs/languages/json). What a user has
written stays, to the letter: new configurations are put in front of theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.documents import Json, items, parse_object
from terralive_workers.function import LocalCode

_STRING: Final = r'"(?:\\.|[^"\\])*"'
_COMMENT: Final = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA: Final = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)
_CONFIGURATIONS: Final = re.compile(r'"configurations"\s*:\s*\[')


def attaching(code: LocalCode, port: int, project: Path) -> dict[str, Json]:
    """Write the configuration that attaches to a function on its port."""
    inside = code.path.is_relative_to(project)
    folder = f"${{workspaceFolder}}/{code.path.relative_to(project)}" if inside else str(code.path)
    name: dict[str, Json] = {
        "name": f"terralive: {code.address.removeprefix('aws_lambda_function.')}"
    }
    roots: dict[str, Json] = {"localRoot": folder, "remoteRoot": str(code.path)}
    again: dict[str, Json] = {"request": "attach", "restart": True}  # an edit takes another worker
    if code.runtime.startswith("nodejs"):
        return {**name, "type": "node", **again, "address": "127.0.0.1", "port": port, **roots}
    return {
        **name,
        "type": "debugpy",
        **again,
        "connect": {"host": "127.0.0.1", "port": port},
        "pathMappings": [roots],
        "justMyCode": True,
    }


def merged(before: str, wanted: Sequence[Mapping[str, Json]], file: Path) -> str:
    """Put configurations into a launch.json's text ("" for none); one of the same name gives way.

    Raises:
        ConfigurationError: it cannot be read, or has to change where there are comments.
    """
    if not before.strip():
        return (
            json.dumps(
                {"version": "0.2.0", "configurations": [dict(item) for item in wanted]}, indent=4
            )
            + "\n"
        )
    plain = _blanked(_COMMA, _blanked(_COMMENT, before))
    document = parse_object(plain)
    present = [item for item in items(document, "configurations") if isinstance(item, dict)]
    start = _CONFIGURATIONS.search(plain)
    if start is None or not isinstance(document.get("configurations"), list):
        raise _refused(
            file,
            wanted,
            'it has no list of "configurations", or cannot be read as JSON with comments',
        )
    fresh = [item for item in wanted if item not in present]
    names = {item["name"] for item in fresh}
    others = [item for item in present if item.get("name") not in names]
    if len(others) == len(present):
        text = "".join(f"\n{_indented(item)}," for item in fresh)
        if not present:
            text = text.removesuffix(",") + "\n" + " " * 4
        return before[: start.end()] + text + before[start.end() :]
    if plain != before:
        raise _refused(
            file, wanted, "a configuration of terralive's has to change, and the file has comments"
        )
    return (
        json.dumps(
            {**document, "configurations": [*(dict(item) for item in fresh), *others]}, indent=4
        )
        + "\n"
    )


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Put spaces in the place of what is no JSON, so that every character stays where it is."""
    return pattern.sub(lambda found: found[1] or re.sub(r"[^\n]", " ", found[0]), text)


def _indented(item: Mapping[str, Json]) -> str:
    return "\n".join(" " * 8 + line for line in json.dumps(item, indent=4).splitlines())


def _refused(file: Path, wanted: Sequence[Mapping[str, Json]], why: str) -> ConfigurationError:
    text = ",\n".join(_indented(item) for item in wanted)
    return ConfigurationError(
        "launch-json",
        f"{file} stays as it is: {why}.",
        hint=f'Take the old ones out, or put these into its "configurations" yourself:\n{text}',
    )
