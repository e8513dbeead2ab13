"""The wire protocol, version 2: JSON text messages through API Gateway. Pure: no I/O, no clock.

A message is an object with `v`, `action` and the fields of one of the dataclasses in `messages.py`.
`decode` is the only way to read one: it raises `ProtocolError` for a malformed message, and ignores
unknown keys so that a later version can add some. `encode` is the only way to write one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Final, get_args

from terralive_stub.protocol.limits import MESSAGE_BYTES
from terralive_stub.protocol.messages import GatewayError, Kind, Message, Name, ProtocolError

VERSION: Final = 2
# Limits of this protocol, so that a peer cannot make a message's fields arbitrarily large.
TEXT_CHARACTERS: Final = 4096
LIST_ITEMS: Final = 4096
NAME_CHARACTERS: Final = 256
# Characters of a peer's value that an error message repeats.
_SHOWN_VERSION: Final = 40
_SHOWN_ACTION: Final = 60
# By action.
MESSAGE_TYPES: Final[dict[str, type[Message]]] = {kind.ACTION: kind for kind in get_args(Message)}
_NAME: Final = re.compile("[!-~]*")


def encode(message: Message) -> str:
    """Return the message's JSON text, at most 128 KB long.

    Raises:
        ProtocolError: the message would be larger than API Gateway accepts.
    """
    document: dict[str, object] = {"v": VERSION, "action": message.ACTION}
    for item in fields(message):
        value = getattr(message, item.name)
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        document[item.name] = value
    # json.dumps escapes all characters beyond ASCII, so characters are bytes.
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > MESSAGE_BYTES:
        raise ProtocolError(
            f"{message.ACTION}: {len(text)} bytes, but a WebSocket message holds {MESSAGE_BYTES}"
        )
    return text


def decode(text: str) -> Message:
    """Read one message.

    Raises:
        GatewayError: it is API Gateway's own error.
        ProtocolError: not JSON, not an object, another version, an unknown action, or a field that
            is missing or has the wrong type.
    """
    document = _parse(text)
    _check_gateway_error(document)
    _check_version(document)
    kind = _message_type(document)
    values: dict[str, object] = {}
    for item in fields(kind):
        where = f"{kind.ACTION}.{item.name}"
        if item.name in document:
            # The type is the annotation's text, because of `from __future__ import annotations`.
            read = _READERS[str(item.type)]
            values[item.name] = read(document[item.name], where)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ProtocolError(f"{where} is missing")
    return kind(**values)  # type: ignore[arg-type]  # each value was read by its field's own type


def _parse(text: str) -> dict[str, object]:
    if len(text) > MESSAGE_BYTES:
        raise ProtocolError(
            f"a message of {len(text)} characters; API Gateway lets {MESSAGE_BYTES} bytes through"
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ProtocolError("not a JSON object")
    return document


def _check_gateway_error(document: dict[str, object]) -> None:
    message = document.get("message")
    if "v" not in document and isinstance(message, str) and "connectionId" in document:
        raise GatewayError(f"API Gateway: {message!r:.80}")


def _check_version(document: dict[str, object]) -> None:
    version = document.get("v")
    if type(version) is int and version == VERSION:  # True is an int, but no version
        return
    found = type(version).__name__
    if isinstance(version, int | str | None):
        found = repr(version)[:_SHOWN_VERSION]
    raise ProtocolError(f"protocol version {found}, but this is version {VERSION}")


def _message_type(document: dict[str, object]) -> type[Message]:
    action = document.get("action")
    if not isinstance(action, str):
        raise ProtocolError(f"unknown action {type(action).__name__}")
    kind = MESSAGE_TYPES.get(action)
    if kind is None:
        raise ProtocolError(f"unknown action {repr(action)[:_SHOWN_ACTION]}")
    return kind


# Readers of the fields' types: each returns the value, or raises ProtocolError


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        raise ProtocolError(f"{where} must be a text of at most {TEXT_CHARACTERS} characters")
    # Half a surrogate pair has no UTF-8 form, so the text could not be passed on.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ProtocolError(f"{where} has half a surrogate pair")
    return value


def _name(value: object, where: str) -> Name:
    if not isinstance(value, str) or len(value) > NAME_CHARACTERS or not _NAME.fullmatch(value):
        raise ProtocolError(
            f"{where} must be a name of at most {NAME_CHARACTERS} printable ASCII characters"
        )
    return value


def _number(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ProtocolError(f"{where} must be a whole number from 0 to 2^53")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{where} must be true or false")
    return value


def _bytes(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise ProtocolError(f"{where} must be base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(f"{where} is not base64") from None


def _items(value: object, where: str) -> list[object]:
    if not isinstance(value, list) or len(value) > LIST_ITEMS:
        raise ProtocolError(f"{where} must be a list of at most {LIST_ITEMS} items")
    return value


def _kind(value: object, where: str) -> Kind:
    try:
        return Kind(_text(value, where))
    except ValueError:
        raise ProtocolError(f"{where} must be one of {', '.join(Kind)}") from None


def _names(value: object, where: str) -> tuple[Name, ...]:
    return tuple(_name(item, where) for item in _items(value, where))


def _numbers(value: object, where: str) -> tuple[int, ...]:
    numbers = tuple(_number(item, where) for item in _items(value, where))
    if len(set(numbers)) < len(numbers):
        raise ProtocolError(f"{where} names a number twice")
    return numbers


def _name_map(value: object, where: str) -> Mapping[Name, Name]:
    if not isinstance(value, dict) or len(value) > LIST_ITEMS:
        raise ProtocolError(f"{where} must be an object of at most {LIST_ITEMS} items")
    return {_name(key, where): _name(item, where) for key, item in value.items()}


_READERS: Final[dict[str, Callable[[object, str], object]]] = {
    "str": _text,
    "Name": _name,
    "int": _number,
    "bool": _flag,
    "bytes": _bytes,
    "Kind": _kind,
    "tuple[Name, ...]": _names,
    "tuple[int, ...]": _numbers,
    "Mapping[Name, Name]": _name_map,
}
