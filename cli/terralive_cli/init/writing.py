"""Writing of proposed files, with the user's consent. What is not agreed to stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.init.contents.proposals import Proposal
from terralive_cli.init.events import FileListed, FileState
from terralive_cli.init.findings import relative
from terralive_cli.output.events import Message
from terralive_cli.output.formats.words import plural
from terralive_cli.output.ui import Ui
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.atomic_files import write_atomically

_ALL: Final = {"y", "yes"}
_NEW_MODE: Final = 0o666


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes files of one repository.

    Attributes:
        ui: shows the files and asks.
        base: the folder that paths are shown relative to.
        top: the repository. A link that leads out of it is left alone.
        agreed: whether `--yes` was given.
    """

    ui: Ui
    base: Path
    top: Path
    agreed: bool

    def write(self, proposals: Sequence[Proposal]) -> int:
        """Write files, and return how many would change where nobody could be asked.

        New files: one question for all of them. An existing file: a diff, and a question for it.
        Without a terminal and without `--yes`, new files are written and existing ones stay.

        Raises:
            TerraliveError: `folder-read-only`, `file-not-written`.
        """
        inside = [item for item in proposals if self._is_inside(item)]
        changing = [item for item in inside if item.changes]
        refuse_read_only(item.file for item in changing)
        new = [item for item in inside if item.is_new]
        wanted = self._wanted(new)
        for number, proposal in enumerate(new):
            if number in wanted:
                self._write(proposal, FileState.WRITTEN)
            else:
                self._show(proposal, FileState.LEFT)
        unasked = 0
        for proposal in inside:
            if not proposal.changes:
                self._show(proposal, FileState.UNCHANGED)
            elif proposal.is_new:
                continue
            elif self.agreed:
                self._write(proposal, FileState.CHANGED)
            elif self.ui.interactive:
                self._ask(proposal)
            else:
                self._show(proposal, FileState.LEFT)
                unasked += 1
        return unasked

    def _is_inside(self, proposal: Proposal) -> bool:
        """Tell whether a file is in the repository. One that is elsewhere is named and left."""
        target = proposal.file.resolve()
        if target.is_relative_to(self.top.resolve()):
            return True
        name = relative(proposal.file, self.base)
        reason = f"it leads out of the repository, to {target}"
        self.ui.emit(FileListed(name, FileState.REFUSED, reason))
        return False

    def _wanted(self, new: Sequence[Proposal]) -> list[int]:
        """Return the indexes of the new files that are to be written."""
        everything = list(range(len(new)))
        if self.agreed or not self.ui.interactive or not new:
            return everything
        self.ui.emit(Message(message="New files:"))
        for number, proposal in enumerate(new, 1):
            name = relative(proposal.file, self.base)
            self.ui.emit(Message(message=f"  {number}  {name}  {proposal.purpose}"))
        count = plural(len(new), "new file")
        answer = self.ui.answer(f"Write {count}? y, n, or the numbers of those you want [n]")
        if answer.lower() in _ALL:
            return everything
        return numbers_in(answer, len(new))

    def _ask(self, proposal: Proposal) -> None:
        """Change an existing file, if the user agrees."""
        self._show(proposal, FileState.PROPOSED)
        name = relative(proposal.file, self.base)
        state = FileState.LEFT
        if self.ui.confirm(f"Change {name} as shown?"):
            write_text(proposal.file, proposal.after)
            state = FileState.CHANGED
        self.ui.emit(FileListed(name, state, proposal.purpose))

    def _write(self, proposal: Proposal, state: FileState) -> None:
        write_text(proposal.file, proposal.after)
        self._show(proposal, state)

    def _show(self, proposal: Proposal, state: FileState) -> None:
        name = relative(proposal.file, self.base)
        self.ui.emit(FileListed(name, state, proposal.purpose, proposal.diff(name)))


def numbers_in(answer: str, most: int) -> list[int]:
    """Return the indexes of the numbers in an answer, from 1 to `most`; none for another answer."""
    words = answer.replace(",", " ").split()
    if not all(word.isdecimal() and 1 <= int(word) <= most for word in words):
        return []
    return sorted({int(word) - 1 for word in words})


def refuse_read_only(files: Iterable[Path]) -> None:
    """Refuse to begin where a file could not be written.

    Raises:
        TerraliveError: `folder-read-only`.
    """
    for file in files:
        folder = file.resolve().parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise TerraliveError(
                "folder-read-only",
                f"{file} cannot be written: {folder} is not a folder that you may write to. "
                "Nothing was written.",
                hint="Run `terralive init` in a checkout of your own.",
            )


def read_text(file: Path) -> str | None:
    """Return the text of a file with its line endings; None where there is no file.

    Bytes that are no UTF-8 are kept: `write_text` writes them as they were.

    Raises:
        TerraliveError: `file-not-read`.
    """
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TerraliveError(
            "file-not-read",
            f"{file} cannot be read: {error.strerror}.",
            hint="Make it a readable file, or run `terralive init` where it is none.",
        ) from None


def write_text(file: Path, text: str) -> None:
    """Write a file. One that exists keeps its mode, and a link keeps leading to its file.

    Raises:
        TerraliveError: `file-not-written`.
    """
    target = file.resolve()
    try:
        mode = _mode(target)
        write_atomically(target, text.encode("utf-8", "surrogateescape"))
        target.chmod(mode)
    except OSError as error:
        raise TerraliveError(
            "file-not-written",
            f"{file} cannot be written: {error.strerror}. The files that are named above are "
            "written, and the others are as they were.",
            hint="Make the folder writable and run `terralive init` again: it continues.",
        ) from None


def _mode(file: Path) -> int:
    """Return the mode of a file, or that of a new one."""
    if file.exists():
        return file.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return _NEW_MODE & ~mask
