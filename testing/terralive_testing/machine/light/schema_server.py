"""A plugin process that tells Terraform the schema of a provider from a file, and nothing else.

Terraform starts a provider plugin first to ask for its schema. The AWS provider's answer has 1,500
kinds of resources and takes both more than a second of CPU time. This program takes the place of
the plugin in that one start. It speaks go-plugin's handshake, and as much of gRPC and HTTP/2 as the
one question needs:

- https://github.com/hashicorp/go-plugin/blob/main/docs/internals.md
- https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
- https://www.rfc-editor.org/rfc/rfc9113

    python -I -S schema_server.py FOLDER

The folder has the answer (`SCHEMA`), a certificate for `localhost` with its key, and the authority
that has signed it. The program imports little: it is started in each run of Terraform.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

DATA: Final = 0
HEADERS: Final = 1
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
ACK: Final = 0x1  # of SETTINGS and PING
END_STREAM: Final = 0x1  # of DATA and HEADERS
END_HEADERS: Final = 0x4
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW: Final = 4  # the setting's number
_DEFAULT_WINDOW: Final = 65_535  # bytes
_ACCEPT_SECONDS: Final = 60.0  # a Terraform that is killed meanwhile never connects
_LARGEST_FRAME: Final = 16_384  # bytes; every receiver takes as many

# The names of the files in the folder.
SCHEMA: Final = "schema"
CHAIN: Final = "server.pem"
KEY: Final = "server.key"
AUTHORITY: Final = "authority.pem"

GET_SCHEMA: Final = "/tfplugin5.Provider/GetSchema"
# go-plugin's own: the end, and two streams that stay open as long as the connection.
SHUTDOWN: Final = "/plugin.GRPCController/Shutdown"
_STREAMS: Final = ("/plugin.GRPCBroker/StartStream", "/plugin.GRPCStdio/StreamStdio")
_UNIMPLEMENTED: Final = 12

# The Huffman codes of the characters of these paths, as they are written in bits:
# https://www.rfc-editor.org/rfc/rfc7541#appendix-B
_CODES: Final = {
    "/": "011000",
    ".": "010111",
    "5": "011011",
    "B": "1011101",
    "C": "1011110",
    "G": "1100010",
    "P": "1101011",
    "R": "1101101",
    "S": "1101110",
    "a": "00011",
    "c": "00100",
    "d": "100100",
    "e": "00101",
    "f": "100101",
    "g": "100110",
    "h": "100111",
    "i": "00110",
    "k": "1110101",
    "l": "101000",
    "m": "101001",
    "n": "101010",
    "o": "00111",
    "p": "101011",
    "r": "101100",
    "t": "01001",
    "u": "101101",
    "v": "1110111",
    "w": "1111000",
}


def huffman(text: str) -> bytes:
    """Return a text as HPACK compresses it. The last byte is filled up with ones."""
    bits = "".join(_CODES[letter] for letter in text)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one HTTP/2 frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def header(name: str, value: str) -> bytes:
    """Return one header field, without compression and without a place in a table."""
    return b"".join([b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()])


def message(content: bytes) -> bytes:
    """Return a gRPC message."""
    return struct.pack(">BI", 0, len(content)) + content


class Reader:
    """Frames from a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def preface(self) -> bytes:
        return self._file.read(len(PREFACE))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Return kind, flags, stream and payload of each frame until the connection ends."""
        while len(head := self._file.read(9)) == 9:
            size_and_kind, flags, stream = struct.unpack(">IBI", head)
            yield size_and_kind & 0xFF, flags, stream, self._file.read(size_and_kind >> 8)


class _Server:
    """One connection of Terraform."""

    def __init__(self, connection: socket.socket, schema: bytes) -> None:
        self._connection = connection
        self._schema = schema
        self._paths: dict[int, str] = {}  # of the streams that are open
        # What is to be sent, by its stream, and how many bytes each stream and the connection take.
        self._unsent: dict[int, bytes] = {}
        self._stream_windows: dict[int, int] = {}
        self._initial_window = _DEFAULT_WINDOW
        self._window = _DEFAULT_WINDOW

    def serve(self) -> None:
        """Answer until Terraform is done."""
        reader = Reader(self._connection)
        if reader.preface() != PREFACE:
            return
        self._connection.sendall(frame(SETTINGS, 0, 0))
        for kind, flags, stream, payload in reader.frames():
            if kind == GOAWAY:
                return
            self._take(kind, flags, stream, payload)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self._answer(stream)
            self._send()
            if self._paths.get(stream) == SHUTDOWN and stream not in self._unsent:
                return

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take a frame, but for what ends a request."""
        if kind == SETTINGS and not flags & ACK:
            self._apply_settings(payload)
        elif kind == PING and not flags & ACK:
            self._connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == HEADERS:
            self._paths[stream] = _path(payload)
            self._stream_windows[stream] = self._initial_window

    def _apply_settings(self, payload: bytes) -> None:
        for number, value in struct.iter_unpack(">HI", payload):
            if number == _INITIAL_WINDOW:
                for stream in self._stream_windows:
                    self._stream_windows[stream] += value - self._initial_window
                self._initial_window = value
        self._connection.sendall(frame(SETTINGS, ACK, 0))

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream in self._stream_windows:
            self._stream_windows[stream] += size

    def _answer(self, stream: int) -> None:
        path = self._paths[stream]
        if path in _STREAMS:
            return
        start = b"\x88" + header("content-type", "application/grpc")  # status 200
        if path not in (GET_SCHEMA, SHUTDOWN):
            failed = start + header("grpc-status", str(_UNIMPLEMENTED))
            self._connection.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, failed))
            return
        self._connection.sendall(frame(HEADERS, END_HEADERS, stream, start))
        content = b""
        if path == GET_SCHEMA:
            content = self._schema
        self._unsent[stream] = message(content)

    def _send(self) -> None:
        """Send as much as the client takes now."""
        for stream, content in list(self._unsent.items()):
            sent = 0
            while sent < len(content):
                size = min(self._window, self._stream_windows[stream], _LARGEST_FRAME)
                size = min(size, len(content) - sent)
                if size <= 0:
                    break
                self._connection.sendall(frame(DATA, 0, stream, content[sent : sent + size]))
                sent += size
                self._window -= size
                self._stream_windows[stream] -= size
            if sent < len(content):
                self._unsent[stream] = content[sent:]
                continue
            end = header("grpc-status", "0")
            self._connection.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, end))
            del self._unsent[stream]


def _path(headers: bytes) -> str:
    """Return the path of a request: it is in its headers, compressed or not."""
    for path in (GET_SCHEMA, SHUTDOWN, *_STREAMS):
        if huffman(path) in headers or path.encode() in headers:
            return path
    return ""


def serve(folder: str) -> None:
    """Take the place of a plugin that is asked for its schema."""
    with tempfile.TemporaryDirectory(prefix="plugin-") as own:
        address = f"{own}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(1)
        authority = ""
        certificate = os.environ.get("PLUGIN_CLIENT_CERT")
        if certificate:
            lines = _read(folder, AUTHORITY).decode().strip().splitlines()
            authority = "".join(lines[1:-1]).rstrip("=")
        print(f"1|5|unix|{address}|grpc|{authority}", flush=True)
        listener.settimeout(_ACCEPT_SECONDS)
        connection, _ = listener.accept()
        connection.settimeout(None)
        if certificate:
            connection = _encrypted(connection, folder, certificate)
        with connection:
            _Server(connection, _read(folder, SCHEMA)).serve()


def _encrypted(connection: socket.socket, folder: str, certificate: str) -> socket.socket:
    """Return the connection with TLS, of which each side knows the certificate of the other."""
    import ssl  # noqa: PLC0415  # it takes as long to import as everything else together

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, CHAIN), os.path.join(folder, KEY))  # noqa: PTH118
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate)
    return context.wrap_socket(connection, server_side=True)


def _read(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123  # see above
        return file.read()


if __name__ == "__main__":
    serve(sys.argv[1])
