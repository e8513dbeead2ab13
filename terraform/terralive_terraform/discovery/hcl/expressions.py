"""Reads expressions of Terraform's language.

https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#expressions
"""

from __future__ import annotations

import re
from typing import Final

from terralive_terraform.discovery.hcl.syntax import (
    Attribute,
    Call,
    Conditional,
    Expression,
    Index,
    Literal,
    Name,
    Object,
    Operation,
    Other,
    Source,
    Template,
    Tuple,
)
from terralive_terraform.discovery.hcl.templates import WORD, TemplateReader

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_OLD_INDEX: Final = re.compile(r"\d+", re.ASCII)
_OPERATOR: Final = re.compile(r"\|\||&&|==|!=|<=|>=|[<>+\-*/%]")
# The operators that bind least come first.
_BINDING: Final = ("||", "&&", "== !=", "< > <= >=", "+ -", "* / %")
_PRECEDENCE: Final = {
    operator: number for number, same in enumerate(_BINDING, 1) for operator in same.split()
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


class ExpressionReader(TemplateReader):
    """Reads expressions from a text, from a position onwards."""

    def expression(self) -> Source:
        """Read an expression.

        Raises:
            UnreadableError: what follows is no expression.
        """
        self.skip_blank()
        start = self.position
        value = self._conditional()
        return Source(value, self.text[start : self.position])

    def nested(self, *, lines_are_blank: bool) -> Source:
        """Read an expression within another one, and the white space behind it."""
        outside = self._lines_are_blank
        self._lines_are_blank = lines_are_blank
        try:
            value = self.expression()
            self.skip_blank()
        finally:
            self._lines_are_blank = outside
        return value

    def _conditional(self) -> Expression:
        condition = self._operation(1)
        end = self.position
        self.skip_blank()
        if not self.take("?"):
            self.position = end
            return condition
        yes = self.expression()
        self.skip_blank()
        self.require(":")
        return Conditional(condition, yes, self.expression())

    def _operation(self, lowest: int) -> Expression:
        """Read operands and the operators between them that bind at least as strongly."""
        left = self._unary()
        while True:
            end = self.position
            self.skip_blank()
            match = _OPERATOR.match(self.text, self.position)
            precedence = _PRECEDENCE[match[0]] if match else 0
            if match is None or precedence < lowest:
                self.position = end
                return left
            self.position = match.end()
            left = Operation(match[0], left, self._operation(precedence + 1))

    def _unary(self) -> Expression:
        self.skip_blank()
        for operator in ("-", "!"):
            if self.take(operator):
                return Operation(operator, None, self._unary())
        return self._traversal(self._operand())

    def _operand(self) -> Expression:  # noqa: PLR0911  # one for each kind
        if self.at('"'):
            return self.quoted()
        if self.take("("):
            value = self.nested(lines_are_blank=True)
            self.require(")")
            return value.expression
        if self.take("["):
            return self._tuple()
        if self.take("{"):
            return self._object()
        if self.at("<<"):
            return self.heredoc()
        number = _NUMBER.match(self.text, self.position)
        if number is not None:
            self.position = number.end()
            return Literal(_number(number[0]))
        word = self.word()
        if not word:
            raise self.fault("an expression is missing")
        return self._named(word)

    def _named(self, word: str) -> Expression:
        """Read the rest of a constant, a call or a reference."""
        while self.take("::"):
            word += "::" + self.word()
        if self.take("("):
            return self._call(word)
        if word in _CONSTANTS:
            return Literal(_CONSTANTS[word])
        return Name(word)

    def _call(self, function: str) -> Expression:
        arguments: list[Expression] = []
        is_expanded = False
        while not self.ends(")"):
            arguments.append(self.nested(lines_are_blank=True))
            self.skip_lines()
            is_expanded = self.take("...") or is_expanded
            self.skip_lines()
            if not self.take(","):
                self.require(")")
                break
        if is_expanded:
            return Other()
        return Call(function, tuple(arguments))

    def _tuple(self) -> Expression:
        if self._is_for():
            return self._for("]")
        found: list[Expression] = []
        while not self.ends("]"):
            found.append(self.nested(lines_are_blank=True))
            self.skip_lines()
            if not self.take(","):
                self.require("]")
                break
        return Tuple(tuple(found))

    def _object(self) -> Expression:
        if self._is_for():
            return self._for("}")
        pairs: list[tuple[Expression, Expression]] = []
        while not self.ends("}"):
            word = WORD.match(self.text, self.position)
            key: Expression = self.nested(lines_are_blank=False)
            if word is not None and isinstance(key, Source) and key.text == word[0]:
                # A plain word is no reference, and `true` is the text "true".
                key = Template((word[0],))
            if not self.take("="):
                self.require(":")
            pairs.append((key, self.nested(lines_are_blank=False)))
            if not self.take(",") and not self.at("\n") and not self.at("}"):
                raise self.fault("an object's next item has to begin on a line of its own")
        return Object(tuple(pairs))

    def _is_for(self) -> bool:
        """Tell whether brackets begin with a `for` expression, and skip its first word then."""
        self.skip_lines()
        start = self.position
        if self.word() == "for":
            self.skip_lines()
            if WORD.match(self.text, self.position):
                return True
        self.position = start
        return False

    def _for(self, close: str) -> Expression:
        self.for_clause()
        self.require(":")
        self.nested(lines_are_blank=True)
        if self.take("=>"):
            self.nested(lines_are_blank=True)
            self.take("...")
            self.skip_lines()
        if self.word() == "if":
            self.nested(lines_are_blank=True)
        self.require(close)
        return Other()

    def for_clause(self) -> None:
        """Read `KEY, VALUE in COLLECTION` or `VALUE in COLLECTION`."""
        self.skip_lines()
        self.word()
        self.skip_lines()
        if self.take(","):
            self.skip_lines()
            self.word()
            self.skip_lines()
        if self.word() != "in":
            raise self.fault("`in` is missing")
        self.nested(lines_are_blank=True)

    def _traversal(self, value: Expression) -> Expression:
        """Read the attributes and indexes of a value."""
        while True:
            end = self.position
            self.skip_blank()
            if self.take("["):
                value = self._index(value)
            elif self.at(".") and not self.at("..."):
                self.position += 1
                value = self._attribute(value)
            else:
                self.position = end
                return value

    def _index(self, of: Expression) -> Expression:
        self.skip_lines()
        if self.take("*"):
            self.skip_lines()
            self.require("]")
            return Other()
        key = self.nested(lines_are_blank=True)
        self.require("]")
        if isinstance(of, Other):
            return of
        return Index(of, key)

    def _attribute(self, of: Expression) -> Expression:
        self.skip_blank()
        if self.take("*"):
            return Other()
        number = _OLD_INDEX.match(self.text, self.position)
        name = ""
        if number is not None:
            self.position = number.end()
        else:
            name = self.word()
            if not name:
                raise self.fault("an attribute's name is missing")
        if isinstance(of, Other):
            return of
        if number is not None:
            return Index(of, Literal(int(number[0])))
        return Attribute(of, name)


def _number(text: str) -> int | float:
    if text.isdigit():
        return int(text)
    return float(text)
