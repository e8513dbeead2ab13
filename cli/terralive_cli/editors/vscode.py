"""VS Code's launch.json: configurations that attach to debugged functions. Pure.

The file is JSON with comments and trailing commas
(https://code.visualstudio.com/docs/languages/json). The user's own text stays as it is, to the
letter: new configurations are put in front of the user's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, items, parse_object
from terralive_workers.function import LocalCode

_STRING: Final = r'"(?:\\.|[^"\\])*"'
_COMMENT: Final = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA: Final = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)
_CONFIGURATIONS: Final = re.compile(r'"configurations"\s*:\s*\[')
_ADDRESS: Final = "127.0.0.1"
_JAVASCRIPT: Final = ("js", "mjs", "cjs")
_NOT_PACKAGES: Final = "!**/node_modules/**"


def attaching(code: LocalCode, port: int, project: Path) -> dict[str, Json]:
    """Return the configuration that attaches to a function on its port.

    For Node.js, it names the JavaScript whose source maps lead to TypeScript elsewhere, and allows
    source maps of the whole code folder. Both would otherwise end at the workspace's folder:
    https://code.visualstudio.com/docs/nodejs/nodejs-debugging#_source-maps
    """
    folder = str(code.path)
    if code.path.is_relative_to(project):
        folder = f"${{workspaceFolder}}/{code.path.relative_to(project)}"
    roots: dict[str, Json] = {"localRoot": folder, "remoteRoot": str(code.path)}
    name = shown_name(code)
    if code.runtime.startswith("nodejs"):
        out_files: list[Json] = [f"{folder}/**/*.{suffix}" for suffix in _JAVASCRIPT]
        out_files.append(_NOT_PACKAGES)
        sources: list[Json] = [f"{folder}/**", _NOT_PACKAGES]
        return {
            "name": name,
            "type": "node",
            "request": "attach",
            "restart": True,  # an edit starts another worker
            "address": _ADDRESS,
            "port": port,
            **roots,
            "sourceMaps": True,
            "outFiles": out_files,
            "resolveSourceMapLocations": sources,
        }
    return {
        "name": name,
        "type": "debugpy",
        "request": "attach",
        "restart": True,
        "connect": {"host": _ADDRESS, "port": port},
        "pathMappings": [roots],
        "justMyCode": True,
    }


def shown_name(code: LocalCode) -> str:
    """Return the name of a function's configuration."""
    return f"terralive: {code.address.removeprefix('aws_lambda_function.')}"


def merged(before: str, wanted: Sequence[Mapping[str, Json]], file: Path) -> str:
    """Add configurations to the text of a launch.json, in the place of any of the same name.

    Args:
        before: the text of the file; "" where there is none.
        wanted: the configurations.
        file: the file, for error messages.

    Raises:
        ConfigurationError: `launch-json`: the file cannot be read, or has to change where there are
            comments.
    """
    if not before.strip():
        return _written({"version": "0.2.0"}, wanted)
    plain = _blanked(_TRAILING_COMMA, _blanked(_COMMENT, before))
    document = parse_object(plain)
    start = _CONFIGURATIONS.search(plain)
    if start is None or not isinstance(document.get("configurations"), list):
        problem = 'it has no list of "configurations", or cannot be read as JSON with comments'
        raise _unchanged(file, wanted, problem)
    present = items(document, "configurations")
    new = [item for item in wanted if item not in present]
    names = {item["name"] for item in new}
    kept = [item for item in present if _name(item) not in names]
    if len(kept) == len(present):
        # Nothing of the user's text has to change.
        return _inserted(before, start.end(), new, is_only=not present)
    if plain != before:
        # A list that is written anew would lose its comments.
        problem = "a configuration of terralive's has to change, and the file has comments"
        raise _unchanged(file, wanted, problem)
    return _written(document, new, kept)


def _name(configuration: Json) -> Json:
    if not isinstance(configuration, dict):
        return None
    return configuration.get("name")


def _written(
    document: Mapping[str, Json],
    configurations: Sequence[Mapping[str, Json]],
    others: Sequence[Json] = (),
) -> str:
    """Return a document as text, with these configurations."""
    everything = [*(dict(item) for item in configurations), *others]
    return json.dumps({**document, "configurations": everything}, indent=4) + "\n"


def _inserted(
    before: str, position: int, configurations: Sequence[Mapping[str, Json]], *, is_only: bool
) -> str:
    """Insert configurations at the beginning of the list, and change no other character.

    Args:
        before: the text of the file.
        position: where the list begins, behind its bracket.
        configurations: what to insert.
        is_only: whether nothing follows in the list.
    """
    text = "".join(f"\n{_indented(item)}," for item in configurations)
    if is_only:
        text = text.removesuffix(",") + "\n" + " " * 4
    return before[:position] + text + before[position:]


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Replace what is no JSON by spaces, so that every other character keeps its position.

    The pattern's first group is a JSON string, which stays.
    """

    def blank(found: re.Match[str]) -> str:
        return found[1] or re.sub(r"[^\n]", " ", found[0])

    return pattern.sub(blank, text)


def _indented(item: Mapping[str, Json]) -> str:
    lines = json.dumps(item, indent=4).splitlines()
    return "\n".join(" " * 8 + line for line in lines)


def _unchanged(file: Path, wanted: Sequence[Mapping[str, Json]], why: str) -> ConfigurationError:
    text = ",\n".join(_indented(item) for item in wanted)
    return ConfigurationError(
        "launch-json",
        f"{file} stays as it is: {why}.",
        hint='Take the old ones out, or put these into its "configurations" yourself:\n' + text,
    )
