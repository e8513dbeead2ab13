"""The folder of this machine that has unpacked layers, for all projects of a user.

It is in the user's folder for caches
(https://specifications.freedesktop.org/basedir-spec/latest/), and only the user may read it. A
layer version never changes, so what is there is never downloaded again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terralive_workers.layers.zips import extract


@dataclass(frozen=True, slots=True)
class LayerStore:
    """Unpacked layers.

    Attributes:
        folder: the folder that has them.
    """

    folder: Path

    @classmethod
    def of_user(cls, environ: Mapping[str, str], home: Path) -> LayerStore:
        """Return that of the user with this environment and home folder."""
        cache = Path(environ.get("XDG_CACHE_HOME") or "")
        # The specification has relative paths ignored.
        if not cache.is_absolute():
            cache = home / ".cache"
        return cls(cache / "terralive" / "layers")

    def folder_of(self, arn: str) -> Path:
        """Return the folder of a layer version, which exists once it was downloaded."""
        return self.folder / hashlib.sha256(arn.encode()).hexdigest()

    def refusal_of(self, arn: str) -> Path:
        """Return the file that exists where the user does not want a layer version."""
        return self.folder_of(arn).with_suffix(".refused")

    def unpacked(self, zip_file: Path) -> Path:
        """Unpack a zip file of the team's, once for each content.

        Raises:
            zipfile.BadZipFile: the file is damaged.
            OSError: it cannot be read, or the folder cannot be written.
        """
        with zip_file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        folder = self.folder / f"zip-{digest}"
        if not folder.is_dir():
            self.unpack(zip_file, folder)
        return folder

    def unpack(self, zip_file: Path, folder: Path) -> None:
        """Unpack a zip file into one of the folders, as a whole or not at all.

        Raises:
            zipfile.BadZipFile: the file is damaged.
            OSError: it cannot be read, or the folder cannot be written.
        """
        new = self.new_folder()
        try:
            extract(zip_file, new)
            if not folder.exists():
                new.rename(folder)
        finally:
            self.remove(new)

    def remove(self, folder: Path) -> None:
        """Remove a folder that `new_folder` has made, if it is still there."""
        shutil.rmtree(folder, ignore_errors=True)

    def new_folder(self) -> Path:
        """Make an empty folder in the store, with a mode of 0700.

        Raises:
            OSError: it cannot be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))


def users_store() -> LayerStore:
    """Return the store of the user who runs this process."""
    return LayerStore.of_user(os.environ, Path.home())
