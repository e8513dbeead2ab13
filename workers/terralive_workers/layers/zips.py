"""Zip files of functions and layers, unpacked."""

from __future__ import annotations

import os.path
import stat
import zipfile
from pathlib import Path
from typing import IO


def extract(zip_file: Path | IO[bytes], folder: Path) -> None:
    """Extract a zip file with its permissions; the owner may always read and write.

    A link is extracted as one where it leads to a place in the folder.

    Raises:
        zipfile.BadZipFile: the file is damaged.
        OSError: something cannot be written.
    """
    with zipfile.ZipFile(zip_file) as archive:
        links: list[tuple[Path, str]] = []
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            # A zip keeps a file's Unix type and permissions in the upper half of this field.
            attributes = entry.external_attr >> 16
            if stat.S_ISLNK(attributes):
                links.append((path, archive.read(entry).decode("utf-8", "surrogateescape")))
                continue
            mode = attributes & 0o777
            if not mode:
                continue
            least = 0o700 if entry.is_dir() else 0o600
            path.chmod(mode | least)
    # After all files: no file is written through a link.
    for path, target in links:
        if _stays_in(folder, path, target):
            path.unlink()
            path.symlink_to(target)


def _stays_in(folder: Path, link: Path, target: str) -> bool:
    """Tell whether a relative link leads to a place in the folder."""
    if os.path.isabs(target):  # noqa: PTH117  # it is a text of the zip's
        return False
    place = os.path.normpath(link.parent / target)
    return Path(place).is_relative_to(os.path.normpath(folder))
