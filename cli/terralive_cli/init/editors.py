"""Configurations of editors that attach to debugged functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import FOLDER
from terralive_cli.editors import jetbrains, vscode
from terralive_cli.functions.debugging import ports_of
from terralive_cli.init.contents.proposals import Proposal
from terralive_cli.init.looking.functions import functions_without_a_plan
from terralive_cli.init.writing import read_text
from terralive_cli.live import last_session
from terralive_cli.output.formats.words import listed
from terralive_terraform.addresses import without_keys
from terralive_workers.function import LocalCode, LocalFunction

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Debuggable:
    """Functions that an editor can attach to.

    Attributes:
        items: the port and the local code of each.
        missing: a sentence about functions whose code is not known yet; "" for none.
    """

    items: tuple[tuple[int, LocalCode], ...]
    missing: str


@dataclass(frozen=True, slots=True)
class EditorFiles:
    """The files of an editor.

    Attributes:
        proposals: the files.
        summary: a sentence about them.
    """

    proposals: tuple[Proposal, ...]
    summary: str


def debuggable(config: Config) -> Debuggable:
    """Return the functions that an editor can attach to: by the files, or by the last session."""
    read = functions_without_a_plan(config)
    known = _last_session(config)
    found = [*_without(read.code, known), *known]
    blocks = {without_keys(code.address) for code in found}
    # As in a start, functions that are not live have no port.
    ports = ports_of([function for function in read.declared if function.address in blocks], found)
    several: list[tuple[int, LocalCode]] = []
    for code in found:
        port = ports.get(without_keys(code.address))
        if port is not None:
            several.append((port, code))
    others = [function.address for function in read.declared if function.address not in blocks]
    missing = ""
    if others:
        missing = (
            f" Only a plan tells the code of {listed(others, _SHOWN)}: run this command again after"
            " the first start, if they are live then."
        )
    return Debuggable(tuple(several), missing)


def vscode_files(config: Config, several: Debuggable) -> EditorFiles:
    """Return VS Code's launch.json, with the configurations of the team in it."""
    wanted = [vscode.attaching(code, port, config.project) for port, code in several.items]
    file = config.project / ".vscode" / "launch.json"
    before = read_text(file)
    after = vscode.merged(before or "", wanted, file)
    names = ", ".join(str(item["name"]) for item in wanted) or "no function can be debugged"
    text = f"{file}: {names}. Run `terralive start --debug FUNCTION`, then attach in VS Code."
    proposals: tuple[Proposal, ...] = ()
    if after:
        proposals = (Proposal(file, before, after, "attaches VS Code to debugged functions"),)
    return EditorFiles(proposals, text + several.missing)


def jetbrains_files(config: Config, several: Debuggable) -> EditorFiles:
    """Return the run configurations of Node.js functions, each of them in a file of its own."""
    files = jetbrains.run_configurations(several.items)
    folder = config.project / jetbrains.FOLDER
    proposals: list[Proposal] = []
    for name, content in files.items():
        file = folder / name
        purpose = "attaches JetBrains editors to a debugged function"
        proposals.append(Proposal(file, read_text(file), content, purpose))
    names = ", ".join(files) or "no Node.js function"
    text = (
        f"{folder}: {names}. Run `terralive start --debug FUNCTION`, then debug the configuration."
    )
    if len(files) < len(several.items):
        text += " PyCharm cannot attach to debugpy, so there are none for Python functions."
    return EditorFiles(tuple(proposals), text + several.missing)


def _last_session(config: Config) -> tuple[LocalFunction, ...]:
    """Return the functions of the stage's last session on this machine, wherever it was."""
    folder = config.project / FOLDER
    works = (
        path for kind in ("aws", "sandbox") for path in folder.glob(f"{kind}/*/{config.stage}")
    )
    return last_session.newest(record.session(work) for work in works)


def _without(code: Sequence[LocalCode], others: Sequence[LocalCode]) -> list[LocalCode]:
    """Return the code of functions that are not among others."""
    blocks = {without_keys(item.address) for item in others}
    return [item for item in code if without_keys(item.address) not in blocks]
