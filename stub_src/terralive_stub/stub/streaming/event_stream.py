"""Reads the event stream in which Lambda's API streams a response. Pure.

A message is its length, the length of its headers, their checksum, the headers, the payload, and
the checksum of all before it. Numbers are big-endian.
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_PRELUDE: Final = struct.Struct("!III")
_CHECKSUM: Final = struct.Struct("!I")
_LENGTH: Final = struct.Struct("!H")
_MOST_BYTES: Final = 24 * 1024 * 1024
_STRING: Final = 7  # the type of a header; the events of Lambda have no others


class EventStreamError(Exception):
    """The bytes are no event stream."""


@dataclass(frozen=True, slots=True)
class Event:
    """One message, with the headers that are strings."""

    headers: Mapping[str, str]
    payload: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Return the type of the event, or of the exception that is in its place."""
        return self.headers.get(":event-type") or self.headers.get(":exception-type", "")


@dataclass(slots=True)
class EventReader:
    """Cuts bytes, as they arrive, into events.

    Attributes:
        _data: bytes of an event that is not complete.
    """

    _data: bytearray = field(default_factory=bytearray)

    @property
    def is_between_events(self) -> bool:
        return not self._data

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes, and yield the events that are complete.

        Raises:
            EventStreamError: these are no events.
        """
        self._data += data
        while len(self._data) >= _PRELUDE.size:
            total, header_bytes, checksum = _PRELUDE.unpack_from(self._data)
            is_possible = _PRELUDE.size + header_bytes + _CHECKSUM.size <= total <= _MOST_BYTES
            if not is_possible or zlib.crc32(self._data[:8]) != checksum:
                raise EventStreamError("the beginning of an event is broken")
            if len(self._data) < total:
                return
            message = bytes(self._data[:total])
            del self._data[:total]
            end = total - _CHECKSUM.size
            if zlib.crc32(message[:end]) != _CHECKSUM.unpack_from(message, end)[0]:
                raise EventStreamError("an event is broken")
            start = _PRELUDE.size + header_bytes
            yield Event(_headers(message[_PRELUDE.size : start]), message[start:end])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name = data[at + 1 : name_end].decode()
            if data[name_end] != _STRING:
                raise EventStreamError("a header of an event is no string")
            (length,) = _LENGTH.unpack_from(data, name_end + 1)
            at = name_end + 1 + _LENGTH.size + length
            found[name] = data[at - length : at].decode()
    except (IndexError, struct.error, UnicodeDecodeError):
        raise EventStreamError("the headers of an event are broken") from None
    return found
