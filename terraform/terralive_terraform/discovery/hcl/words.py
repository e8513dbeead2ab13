"""Words of expressions that may be paths. Pure.

A command or a hash may name the folder of the code, even if terralive cannot compute all of it:
`cd ${path.module}/../src && zip -r ${aws_s3_bucket.code.id}.zip .` names `./../src`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.scope import Scope, compute

# What stands for the key of an instance in a word.
KEY: Final = "${each.key}"
_UNKNOWN: Final = "\0"
_INNERMOST: Final = re.compile(r"\$\{([^{}]*)\}")
_NAMED: Final = re.compile(r"(?<![\w.])(?:local|var)\.\w+")
_WORD: Final = re.compile(r"""[^\s;&|"'()<>,\[\]=]+""")
_KEYS: Final = ("each.key", "each.value")
_MAX_WORDS: Final = 200  # of one attribute


def words(value: Json, scope: Scope) -> Iterator[str]:
    """Yield the words of an attribute's value that are known, each of them once.

    Args:
        value: the value, in Terraform's JSON syntax.
        scope: what it refers to.
    """
    found: dict[str, None] = {}
    for text in _texts(value):
        known = _INNERMOST.sub(lambda match: _computed(match, scope), text)
        unknown = [match[1] for match in _INNERMOST.finditer(text) if not _is_known(match, scope)]
        for name in _NAMED.findall(" ".join((known, *unknown))):
            named = compute(f"${{{name}}}", scope)
            if isinstance(named, str):
                found[named] = None
        for word in _WORD.findall(known):
            # Of a pattern, the folder before it counts: `../src` of `../src/*.py`.
            path = re.sub(r"/?[^/]*\*.*", "", word)
            if path and _UNKNOWN not in path:
                found[path] = None
    yield from list(found)[:_MAX_WORDS]


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _is_known(match: re.Match[str], scope: Scope) -> bool:
    return _computed(match, scope) != _UNKNOWN


def _computed(match: re.Match[str], scope: Scope) -> str:
    if match[1].strip() in _KEYS:
        # Words are no expressions, so this one stays for the instance.
        return KEY
    value = compute(match[0], scope)
    if isinstance(value, str):
        return value
    return _UNKNOWN
