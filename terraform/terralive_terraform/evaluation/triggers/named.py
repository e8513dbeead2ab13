"""Functions of a plan that a resource names: by name or ARN in its values, or by references. Pure.

References are followed also through an alias, a variable or an output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from terralive_stub.shared.json_documents import Json, section, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.aliases import ALIAS_TYPE
from terralive_terraform.evaluation.document import MANAGED, Evaluated, Evaluation
from terralive_terraform.evaluation.references import referred, referred_in

_FUNCTION_ARN: Final = re.compile(r":function:(?P<name>[\w-]+)")
# Lambda's own API, in a state machine, a schedule or the action of a pipeline:
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
_FUNCTION_NAME: Final = "FunctionName"
_IN_JSON: Final = re.compile(rf'"{_FUNCTION_NAME}"\s*:\s*"(?P<name>[\w-]+)')


class NamedFunctions:
    """The functions of a plan, as other resources name them.

    Args:
        evaluation: the plan.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        # Addresses by the functions' names. Regions and accounts may share a name.
        self._by_name: dict[str, list[str]] = {}
        for item in evaluation.instances(FUNCTION_TYPE):
            name = text(item.values, "function_name")
            if name:
                self._by_name.setdefault(name, []).append(item.address)

    def called(self, kind: str, attribute: str, mode: str = MANAGED) -> tuple[str, ...]:
        """Return the functions that instances of a type call, each of them once."""
        addresses: dict[str, None] = {}
        for item in self._evaluation.instances(kind, mode):
            addresses.update(dict.fromkeys(self.of(item, attribute)))
        return tuple(addresses)

    def of(self, item: Evaluated, attribute: str) -> Iterator[str]:
        """Yield the addresses of the functions that an attribute names."""
        by_reference: dict[str, None] = {}
        for target in referred(self._evaluation, item.address, item.module, (attribute,)):
            by_reference.update(dict.fromkeys(self._behind(target)))
        by_value = self.by_value(item, attribute)
        # `module.fn[each.value].arn` refers to all functions of the module. Its value is one of
        # them, or one of the same name in several regions.
        both = [address for address in by_value if address in by_reference]
        yield from both or by_reference or by_value

    def by_value(self, item: Evaluated, attribute: str) -> tuple[str, ...]:
        """Return the addresses of the functions that an attribute's value names."""
        value = text(item.values, attribute)
        arn = _FUNCTION_ARN.search(value)
        if arn is not None:
            value = arn["name"]
        return self.with_name(value.partition(":")[0])

    def within(self, item: Evaluated, path: str) -> Iterator[str]:
        """Yield the addresses of the functions in texts, lists or blocks of a resource.

        Args:
            item: the resource.
            path: the names of blocks and of an attribute, with dots; "" for the whole resource.
        """
        steps = tuple(filter(None, path.split(".")))
        expressions = section(self._evaluation.block(item.address), "expressions")
        is_known = not item.unknown
        if steps:
            is_known = steps[0] not in item.unknown
        values = at(dict(item.values), steps)
        yield from self.in_parts(item, values, at(expressions, steps), is_known=is_known)

    def in_parts(
        self,
        item: Evaluated,
        values: Sequence[Json],
        expressions: Sequence[Json],
        *,
        is_known: bool,
    ) -> Iterator[str]:
        """Yield the addresses of the functions that parts of a resource name.

        Args:
            item: the resource.
            values: the values of the parts.
            expressions: their expressions.
            is_known: whether these are all values. Then values say more than expressions do.
        """
        found: dict[str, None] = {}
        for name in _names_in(list(values)):
            found.update(dict.fromkeys(self.with_name(name)))
        if not found or not is_known:
            written: Json = list(expressions)
            for target in referred_in(self._evaluation, written, item.address, item.module):
                found.update(dict.fromkeys(self._behind(target)))
        yield from found

    def with_name(self, name: str) -> tuple[str, ...]:
        """Return the addresses of the functions that have a name."""
        return tuple(self._by_name.get(name, ()))

    def _behind(self, target: Evaluated) -> Iterator[str]:
        """Yield the address of a function that is referred to, also by its alias."""
        if target.type == FUNCTION_TYPE:
            yield target.address
        if target.type == ALIAS_TYPE:
            of_alias = referred(self._evaluation, target.address, target.module, ("function_name",))
            for one in of_alias:
                if one.type == FUNCTION_TYPE:
                    yield one.address


def at(value: Json, path: Sequence[str]) -> list[Json]:
    """Return what is at a path in nested blocks, of which there may be several."""
    if isinstance(value, list):
        found: list[Json] = []
        for part in value:
            found += at(part, path)
        return found
    if not path:
        return [value]
    if isinstance(value, dict) and path[0] in value:
        return at(value[path[0]], path[1:])
    return []


def _names_in(value: Json) -> Iterator[str]:
    """Yield the names of functions in ARNs and in parameters of Lambda's API."""
    if isinstance(value, str):
        for pattern in (_FUNCTION_ARN, _IN_JSON):
            for match in pattern.finditer(value):
                yield match["name"]
    elif isinstance(value, list):
        for part in value:
            yield from _names_in(part)
    elif isinstance(value, dict):
        yield text(value, _FUNCTION_NAME).partition(":")[0]
        for part in value.values():
            yield from _names_in(part)
