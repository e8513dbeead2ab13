"""What the AWS provider answers when Terraform asks for its schema, with the kinds that tests need.

https://github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin5.proto
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from terralive_testing.machine.light.schema_server import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET_SCHEMA,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    Reader,
    frame,
    header,
    message,
)

# Terraform introduces itself to a plugin with this word.
_COOKIE: Final = {
    "TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
    "PLUGIN_PROTOCOL_VERSIONS": "5",
}
_SECONDS: Final = 30.0
_WINDOW: Final = 1 << 30  # bytes, more than any answer has
_INITIAL_WINDOW: Final = 4  # the setting's number

# Fields of GetProviderSchema.Response that are maps from the name of a kind to its schema.
_RESOURCES: Final = 2
_DATA_SOURCES: Final = 3
_KIND: Final = re.compile(r"\baws_[a-z0-9_]+")


def kinds_in(folders: Collection[Path], suffixes: Collection[str]) -> frozenset[str]:
    """Return every word in these folders' files that could be a kind of AWS resource.

    Args:
        folders: folders; those that do not exist are left out.
        suffixes: of the files that are read, like `.tf`.
    """
    found: set[str] = set()
    for folder in folders:
        for parent, folders_below, names in os.walk(folder):
            folders_below[:] = [name for name in folders_below if not name.startswith(".")]
            for name in names:
                if os.path.splitext(name)[1] not in suffixes:  # noqa: PTH122  # there are hundreds
                    continue
                # A file that another process has made may be gone.
                with contextlib.suppress(FileNotFoundError):
                    found.update(_KIND.findall(Path(parent, name).read_text("utf-8", "replace")))
    return frozenset(found)


def recorded_schema(plugin: Path, kinds: Collection[str]) -> bytes | None:
    """Start a plugin and ask for its schema.

    Args:
        plugin: the plugin's program.
        kinds: the kinds of resources and data sources that are kept.

    Returns:
        the answer, a message of protocol buffers; None where the plugin gives none.
    """
    environment = {**os.environ, **_COOKIE}
    environment.pop("PLUGIN_CLIENT_CERT", None)
    try:
        process = subprocess.Popen(
            [plugin],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        # A plugin for another kind of machine.
        return None
    try:
        assert process.stdout is not None
        handshake = process.stdout.readline().decode("utf-8", "replace").strip().split("|")
        if handshake[1:3] != ["5", "unix"]:
            return None
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(handshake[3])
            return of_kinds(_asked(connection), kinds)
        return None
    finally:
        process.kill()
        process.communicate()


def _asked(connection: socket.socket) -> bytes:
    """Call GetSchema and return the message of the answer."""
    settings = struct.pack(">HI", _INITIAL_WINDOW, _WINDOW)
    headers = b"".join(
        [
            b"\x83\x86",  # POST, http
            header(":path", GET_SCHEMA),
            header(":authority", "localhost"),
            header("content-type", "application/grpc"),
            header("te", "trailers"),
        ]
    )
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    connection.sendall(frame(WINDOW_UPDATE, 0, 0, _WINDOW.to_bytes(4, "big")))
    connection.sendall(frame(HEADERS, END_HEADERS, 1, headers))
    connection.sendall(frame(DATA, END_STREAM, 1, message(b"")))
    answer = []
    for kind, flags, stream, payload in Reader(connection).frames():
        if kind == PING and not flags & ACK:
            connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == DATA:
            answer.append(payload)
        if stream == 1 and kind in (DATA, HEADERS) and flags & END_STREAM:
            return b"".join(answer)[5:]
    raise ConnectionError("the plugin has not told all of its schema")


def of_kinds(schema: bytes, kinds: Collection[str]) -> bytes | None:
    """Return the answer without other kinds; None where it has none of these."""
    kept, has_kinds = [], False
    for number, start, content, end in _fields(schema):
        if number in (_RESOURCES, _DATA_SOURCES):
            # An entry of a map: its key is field 1, a text.
            name = next(
                schema[at:to] for key, _, at, to in _fields(schema, content, end) if key == 1
            )
            if name.decode() not in kinds:
                continue
            has_kinds = True
        kept.append(schema[start:end])
    if not has_kinds:
        return None
    return b"".join(kept)


def _fields(
    data: bytes, at: int = 0, end: int | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """Return each field: its number, where it starts, where its content starts, where it ends.

    All that this message has on its first two levels are texts and messages, with their length.
    """
    while at < (len(data) if end is None else end):
        start = at
        tag, at = _number(data, at)
        assert tag & 7 == 2, "a field with a length"
        size, at = _number(data, at)
        yield tag >> 3, start, at, at + size
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits in each byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
