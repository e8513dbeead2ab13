"""The layer of a container image that has the stub. Pure.

The same files give the same bytes on any machine, with any zlib: the tar is stored, and not
compressed. So all developers of a stage push one image.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MODE: Final = 0o755
# The longest stored block of a deflate stream: https://www.rfc-editor.org/rfc/rfc1951#page-11
_BLOCK_BYTES: Final = 65_535
# No name, no time, an unknown system: https://www.rfc-editor.org/rfc/rfc1952#page-5
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer.

    Attributes:
        data: the gzip of its tar.
        diff_id: the digest of the tar itself.
        directory: the folder that its files are in.
    """

    data: bytes
    diff_id: str
    directory: str


def layer_of(files: Mapping[str, bytes], directory: str) -> Layer:
    """Return the layer with some files.

    Args:
        files: the content of each file by its path in the folder.
        directory: the absolute folder in the image.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(_with_folders(files)):
            entry = tarfile.TarInfo(f"{directory.strip('/')}/{name}")
            entry.mode = _MODE
            data = files.get(name)
            if data is None:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    tar = buffer.getvalue()
    return Layer(stored_gzip(tar), f"sha256:{hashlib.sha256(tar).hexdigest()}", directory)


def stored_gzip(data: bytes) -> bytes:
    """Return a gzip file that has the data as it is."""
    parts = [_GZIP_HEADER]
    blocks = [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)] or [b""]
    for number, block in enumerate(blocks, 1):
        is_last = number == len(blocks)
        size = len(block)
        parts += [struct.pack("<BHH", is_last, size, size ^ 0xFFFF), block]
    parts.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(parts)


def _with_folders(files: Mapping[str, bytes]) -> set[str]:
    names = set(files)
    for name in files:
        folder = name.rpartition("/")[0]
        while folder:
            names.add(folder)
            folder = folder.rpartition("/")[0]
    return names
