"""The encoding `application/vnd.amazon.eventstream` of responses that AWS's APIs stream.

A message has its own length, the length of its headers, a checksum of these two, the headers, a
payload, and a checksum of everything before.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_STRING: Final = 7
# The two lengths and the two checksums.
_FRAME_BYTES: Final = 16


def event(name: str, content_type: str, payload: bytes) -> bytes:
    """Return one event as a message."""
    headers = b"".join(
        _header(key, value)
        for key, value in (
            (":event-type", name),
            (":content-type", content_type),
            (":message-type", "event"),
        )
    )
    lengths = struct.pack(">II", _FRAME_BYTES + len(headers) + len(payload), len(headers))
    message = lengths + _checksum(lengths) + headers + payload
    return message + _checksum(message)


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
