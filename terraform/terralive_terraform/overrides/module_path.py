"""Puts a fixed path in the place of `path.module` in a module's files. Pure.

A copy of a module is in another folder, and its expressions must have the values that they have in
the original. `path.module` is the only reference that depends on the folder:
https://developer.hashicorp.com/terraform/language/expressions/references#filesystem-and-workspace-info
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from terralive_stub.shared.json_documents import Json

_REFERENCE: Final = re.compile(r"path\s*\.\s*module(?![\w-])")
_WORD: Final = re.compile(r"[^\W\d][\w-]*")
_COMMENT: Final = re.compile(r"(?:#|//)[^\n]*|/\*.*?\*/", re.DOTALL)
_HEREDOC: Final = re.compile(r"<<-?\s*([^\W\d][\w-]*)[^\S\n]*\r?\n")
_ESCAPED_OPENINGS: Final = ("$${", "%%{")
_OPENINGS: Final = ("${", "%{")


def in_native_syntax(content: str, path: str) -> str:
    """Return the content of a `*.tf` file with a fixed path.

    Strings and heredocs keep their text; only the expressions in them are read:
    https://developer.hashicorp.com/terraform/language/expressions/strings
    """
    return _Writer(content, path).expression()


def in_json_syntax(content: str, path: str) -> str:
    """Return the content of a `*.tf.json` file with a fixed path.

    Every string is a template, also the keys of an object:
    https://developer.hashicorp.com/terraform/language/syntax/json#expression-mapping
    A file that is no JSON is returned unchanged. Terraform says what is wrong with it.
    """
    try:
        document: Json = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return json.dumps(in_document(document, path), indent=2)


def in_document(value: Json, path: str) -> Json:
    """Return a value in Terraform's JSON syntax with a fixed path."""
    if isinstance(value, str):
        return _in_template(value, path)
    if isinstance(value, list):
        return [in_document(item, path) for item in value]
    if isinstance(value, dict):
        return {_in_template(name, path): in_document(item, path) for name, item in value.items()}
    return value


def _in_template(text: str, path: str) -> str:
    return _Writer(text, path).template(lambda _: False)


class _Writer:
    """Reads a text from its start to its end, and returns it with a fixed path.

    Args:
        text: the text.
        path: the path.
    """

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        quoted = json.dumps(path, ensure_ascii=False)
        # The path as an expression: a string in which nothing is computed.
        self._literal = quoted.replace("${", "$${").replace("%{", "%%{")
        # The number of characters that are read.
        self._position = 0

    def expression(self, *, in_braces: bool = False) -> str:
        """Read an expression or a body to the text's end, or to the brace that closes it."""
        out: list[str] = []
        depth = 0
        after_dot = False
        while self._position < len(self._text):
            character = self._text[self._position]
            reference = _REFERENCE.match(self._text, self._position)
            word = _WORD.match(self._text, self._position)
            comment = _COMMENT.match(self._text, self._position)
            heredoc = _HEREDOC.match(self._text, self._position)
            if comment is not None:
                out.append(self._take(comment[0]))
                continue
            if reference is not None and not after_dot:
                self._take(reference[0])
                out.append(self._literal)
            elif word is not None:
                out.append(self._take(word[0]))
            elif heredoc is not None:
                out.append(self._take(heredoc[0]))
                out.append(self._heredoc(heredoc[1]))
            elif character == '"':
                out.append(self._quoted())
            else:
                depth += {"{": 1, "}": -1}.get(character, 0)
                out.append(self._take(character))
                if in_braces and depth < 0:
                    break
            if not character.isspace():
                # `local.path.module` is an attribute of something else.
                after_dot = character == "."
        return "".join(out)

    def template(self, is_end: Callable[[str], bool]) -> str:
        """Read a template to its end: the text of a string, with expressions in `${…}`.

        Args:
            is_end: tells whether the rest of the text begins with the template's end.
        """
        out: list[str] = []
        while self._position < len(self._text):
            rest = self._text[self._position : self._position + 3]
            if is_end(rest):
                break
            if rest in _ESCAPED_OPENINGS:
                out.append(self._take(rest))
            elif rest[:2] in _OPENINGS:
                out.append(self._take(rest[:2]))
                out.append(self.expression(in_braces=True))
            else:
                out.append(self._take(rest[0]))
        return "".join(out)

    def _quoted(self) -> str:
        opening = self._take('"')
        out = [opening]
        while self._position < len(self._text):
            out.append(self.template(lambda rest: rest[0] in '"\\'))
            if self._text.startswith("\\", self._position):
                out.append(self._take(self._text[self._position : self._position + 2]))
                continue
            if self._text.startswith('"', self._position):
                out.append(self._take('"'))
            break
        return "".join(out)

    def _heredoc(self, marker: str) -> str:
        """Read a heredoc to the line that has its marker alone."""
        end = re.compile(rf"^[^\S\n]*{re.escape(marker)}[^\S\n]*\r?$", re.MULTILINE)

        def is_end(_: str) -> bool:
            starts_line = self._text[self._position - 1] == "\n"
            return starts_line and end.match(self._text, self._position) is not None

        return self.template(is_end)

    def _take(self, part: str) -> str:
        """Go on behind the next part of the text, and return that part."""
        self._position += len(part)
        return part
