"""AWS's published sample events, and a comparison of the sandbox's events with them.

A file in `samples/` is `{"source": page, "event": the event as published}`, with a `"note"` where
something had to be changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

_FOLDER = Path(__file__).with_name("samples")
_KINDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def sample(name: str) -> dict[str, object]:
    """Return the event of samples/NAME.json."""
    event = json.loads((_FOLDER / f"{name}.json").read_text())["event"]
    assert isinstance(event, dict)
    return event


def assert_same_shape(
    actual: object,
    sample: object,
    *,
    absent: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Fail unless both have the same keys at each level, with values of the same JSON types.

    Paths are written `requestContext.http.method`; all elements of a list are one path, `[]`
    (`Records[].eventID`). A key that itself has a dot stands there as it is.

    Args:
        actual: the sandbox's event, as Python values or as read from JSON.
        sample: the event that AWS has published.
        absent: paths of the sample that the sandbox's event lacks, each with the reason. One that
            it does not lack is an error.
        extra: paths of the sandbox's event that the sample lacks or has with another type, each
            with the reason. One that does not differ is an error.
    """
    ours, theirs = dict(_shape(actual, "")), dict(_shape(sample, ""))
    lacking = {path: f"lacks {path} ({kind})" for path, kind in theirs.items() if path not in ours}
    differing: dict[str, str] = {}
    for path, kind in ours.items():
        if path not in theirs:
            differing[path] = f"has {path} ({kind}) beyond the sample"
        elif kind != theirs[path]:
            differing[path] = f"has {path} as {kind}, not {theirs[path]}"
    problems = [
        *_unexplained(lacking, absent or {}),
        *(f"does not lack {path}" for path in _needless(absent or {}, lacking)),
        *_unexplained(differing, extra or {}),
        *(f"has nothing else at {path}" for path in _needless(extra or {}, differing)),
    ]
    assert not problems, "\n".join(sorted(problems))


def _unexplained(differences: Mapping[str, str], reasons: Mapping[str, str]) -> list[str]:
    """Return the differences without a reason. Both are by path."""
    return [text for path, text in differences.items() if not _covered(path, reasons)]


def _needless(reasons: Mapping[str, str], differences: Mapping[str, str]) -> list[str]:
    """Return the paths with a reason at which there is no difference."""
    return [path for path in reasons if not any(_covered(at, {path: ""}) for at in differences)]


def _covered(path: str, allowed: Mapping[str, str]) -> bool:
    return any(
        path == prefix or path.startswith((f"{prefix}.", f"{prefix}[]")) for prefix in allowed
    )


def _shape(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield every path with its JSON type. The type of `[]` covers all elements of the list."""
    kind = "null"
    if value is not None:
        kind = _KINDS[type(value)]
    yield path, kind
    if isinstance(value, dict):
        for key, inner in value.items():
            below = str(key)
            if path:
                below = f"{path}.{key}"
            yield from _shape(inner, below)
    elif isinstance(value, list):
        kinds: dict[str, set[str]] = {}
        for inner in value:
            for at, kind in _shape(inner, f"{path}[]"):
                kinds.setdefault(at, set()).add(kind)
        yield from ((at, " or ".join(sorted(found))) for at, found in kinds.items())
