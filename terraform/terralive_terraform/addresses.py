"""Terraform addresses of resources and of their instances (`count`, `for_each`).

Also the other names that a user may give a function, and patterns of names and addresses.

https://developer.hashicorp.com/terraform/cli/state/resource-addressing. Pure: it knows no
configuration and no state.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

# Stands for the address of a module's local values, which have none.
LOCALS: Final = "locals.values"
# The text of a key may have dots, brackets and escaped quotes. [*] is no address, but it may stand
# in terralive.toml.
_KEY: Final = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[[^\]"]*\]')
# How a key's text is written, as in Terraform's language:
# https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences
_WRITTEN: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Characters above it have eight digits.
_LAST_OF_FOUR_DIGITS: Final = 0xFFFF
_READ: Final = {written: read for read, written in _WRITTEN.items()}
_ESCAPED: Final = re.compile(
    r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\[\"\\nrt]|\$\$(?=\{)|%%(?=\{)"
)
_FUNCTION: Final = "aws_lambda_function."
_MODULE: Final = re.compile(r"\bmodule\.(?=[\w-])")
# Labels of a module's only resource of a type, as registry modules use them.
_ONLY_FUNCTION: Final = re.compile(r"(?:this|main)((?:\[.*\])?)$")


def in_stack(stack: str, address: str) -> str:
    """Return an address with the name of its stack before it: `orders/aws_lambda_function.api`.

    Args:
        stack: the name of a CDKTF program's stack; "" for the address alone.
        address: an address, or another name of a function.
    """
    if not stack:
        return address
    return f"{stack}/{address}"


def stack_of(address: str) -> str:
    """Return the name of the stack before an address; "" where there is none.

    Neither names of stacks nor names in addresses have a `/`. Only the text of a key may.
    """
    stack, slash, _ = address.partition("/")
    if not slash or "[" in stack:
        return ""
    return stack


def without_stack(address: str) -> str:
    """Return an address without the name of its stack."""
    stack = stack_of(address)
    return address.removeprefix(f"{stack}/") if stack else address


def without_keys(address: str) -> str:
    """Return an address without instance keys: the address that the configuration declares."""
    return _KEY.sub("", address)


def has_keys(address: str) -> bool:
    """Tell whether an address, or a pattern of addresses, names instances."""
    return address != without_keys(address)


def instance_key(address: str) -> str:
    """Return the key at the end of an address, also a number as a text; "" where there is none."""
    keys = list(_KEY.finditer(address))
    if not keys or keys[-1].end() != len(address):
        return ""
    key = keys[-1][0][1:-1]
    if key.startswith('"'):
        return _ESCAPED.sub(_unescaped, key[1:-1])
    return key


def with_key(address: str, key: object) -> str:
    """Return the address of an instance, as Terraform writes it.

    Args:
        address: the address without the key.
        key: a number or a text; None for a resource without `count` and `for_each`.
    """
    if key is None:
        return address
    if not isinstance(key, str):
        return f"{address}[{key}]"
    written = "".join(map(_escaped, key)).replace("${", "$${").replace("%{", "%%{")
    return f'{address}["{written}"]'


def all_keys(address: str) -> tuple[str, ...]:
    """Return all instance keys in an address, as they are written: `["eu"]`, `[0]`."""
    return tuple(match[0] for match in _KEY.finditer(address))


def short_address(name: str) -> str:
    """Return a function's Terraform address without the resource type.

    Module path and instance key stay, because the label alone is often the same (`this`):
    `module.orders.aws_lambda_function.this["eu"]` is `module.orders.this["eu"]`. Every other name
    stays as it is.
    """
    return name.replace(_FUNCTION, "", 1)


def spoken_name(address: str) -> str:
    """Return a function's name for a question, by its Terraform address.

    A module's only function is often called `this` or `main`, and is named by its module:
    `module.orders.aws_lambda_function.this[0]` is `orders`, and
    `module.jobs["eu"].aws_lambda_function.send` is `jobs["eu"].send`. The name of a stack stays
    before it.
    """
    stack = stack_of(address)
    prefix, found, label = without_stack(address).rpartition(_FUNCTION)
    if not found:
        return address
    name = label
    modules = _MODULE.sub("", prefix).removesuffix(".")
    if modules:
        only = _ONLY_FUNCTION.match(label)
        name = f"{modules}.{label}"
        if only is not None:
            # `count = 1` says nothing; any other key tells instances apart.
            name = modules + only[1].replace("[0]", "", 1)
    return in_stack(stack, name)


def names_of(address: str, name: str) -> set[str]:
    """Return all names that a user may give a function, or one instance of it.

    Args:
        address: its address, perhaps with instance keys, and with the name of its stack before it.
        name: its deployed name; "" where it is not known.
    """
    stack, address = stack_of(address), without_stack(address)
    declared = without_keys(address)
    label = declared.rpartition(".")[2]
    shown = {short_address(address), short_address(declared), spoken_name(address)}
    shown.add(spoken_name(declared))
    names = {address, declared, label, name} - {""} | shown
    return names | {in_stack(stack, known) for known in names}


def matches(pattern: str, value: str) -> bool:
    """Tell whether a name or an address matches a pattern; `*` and `?` are wildcards."""
    # Brackets stand in Terraform addresses (`aws_lambda_function.api["eu"]`) and mean themselves.
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _escaped(character: str) -> str:
    if character in _WRITTEN:
        return _WRITTEN[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number > _LAST_OF_FOUR_DIGITS:
        return f"\\U{number:08x}"
    return f"\\u{number:04x}"


def _unescaped(match: re.Match[str]) -> str:
    number = match[1] or match[2]
    if number:
        return chr(int(number, 16))
    return _READ.get(match[0], match[0][0])
