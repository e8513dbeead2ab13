"""Zip files of functions and layers, unpacked."""

from __future__ import annotations

import io
import zipfile
from http import HTTPStatus
from pathlib import Path

from terralive_sandbox.functions.invoke_api import InvokeError


def unpack(content: bytes, folder: Path) -> None:
    """Extract a zip file with its permissions; the owner may always read and write.

    Raises:
        InvokeError: the file is damaged.
    """
    try:
        _extract(content, folder)
    except zipfile.BadZipFile as error:
        raise InvokeError(
            "InvalidZipFileException",
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
            HTTPStatus.BAD_GATEWAY,
        ) from error


def _extract(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            # A zip keeps a file's Unix permissions in the upper half of this field.
            mode = (entry.external_attr >> 16) & 0o777
            if not mode:
                continue
            least = 0o700 if entry.is_dir() else 0o600
            path.chmod(mode | least)
