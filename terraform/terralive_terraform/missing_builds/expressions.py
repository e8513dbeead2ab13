"""Expressions that stand for others whose files are missing, in Terraform's JSON syntax. Pure.

In JSON syntax every text is a template: https://developer.hashicorp.com/terraform/language/syntax/json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence as Several
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.scope import parsed_template
from terralive_terraform.discovery.hcl.syntax import Sequence, Template

# `file`, `filebase64sha256`, …, which fail where their file does not exist:
# https://developer.hashicorp.com/terraform/language/functions/file
_FILE_FUNCTION: Final = re.compile(r"\b(?:templatefile|file(?!exists|set)\w*)\(")


def reads_file(value: Json) -> bool:
    """Tell whether an attribute's value calls a function that reads a file."""
    return isinstance(value, str) and _FILE_FUNCTION.search(value) is not None


def native_expression(value: Json) -> str | None:
    """Return a text of JSON syntax as an expression of the native syntax; None if it is none."""
    if not isinstance(value, str):
        return None
    template = parsed_template(value)
    if template is None:
        return None
    match template:
        case Template((Sequence(value=expression, source=source),)) if expression is not None:
            return f"({source[2:-1].strip('~')})"
    parts: list[str] = []
    for part in template.parts:
        if isinstance(part, Sequence):
            parts.append(part.source)
        else:
            parts.append(_escaped(part))
    return f'"{"".join(parts)}"'


def quoted(text: str) -> str:
    """Return a text as a quoted text of the native syntax."""
    return f'"{_escaped(text)}"'


def is_one_of(expression: str, values: Several[str]) -> str:
    """Return the condition that an expression has one of some values; unset is none of them."""
    listed = ", ".join(quoted(value) for value in values)
    return f"try(contains([{listed}], {expression}), false)"


def fails(expression: str) -> str:
    """Return the condition that an expression cannot be computed."""
    return f"!can({expression})"


def in_place_of(expression: str, placeholder: str) -> str:
    """Return the template of an expression, or of a text where it cannot be computed."""
    return f"${{try({expression}, {quoted(placeholder)})}}"


def chosen(condition: str, yes: str, no: str) -> str:
    """Return the template that chooses one of two expressions."""
    return f"${{{condition} ? {yes} : {no}}}"


def _escaped(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    return written.replace("${", "$${").replace("%{", "%%{")
