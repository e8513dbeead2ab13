"""Zip files of functions and layers, unpacked."""

from __future__ import annotations

import io
import zipfile
from http import HTTPStatus
from pathlib import Path

from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_workers.layers.zips import extract


def unpack(content: bytes, folder: Path) -> None:
    """Extract a zip file with its permissions; the owner may always read and write.

    Raises:
        InvokeError: the file is damaged.
    """
    try:
        extract(io.BytesIO(content), folder)
    except zipfile.BadZipFile as error:
        raise InvokeError(
            "InvalidZipFileException",
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
            HTTPStatus.BAD_GATEWAY,
        ) from error
