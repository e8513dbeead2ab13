"""`terralive init`: write a first terralive.toml, files for editors, or a Dockerfile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.app.source import app_of
from terralive_cli.configuration.values import FILE, Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import FOLDER, work_folder
from terralive_cli.editors import jetbrains as jet_brains
from terralive_cli.editors import vscode as vs_code
from terralive_cli.functions.debugging import ports_of
from terralive_cli.functions.mapping import map_functions
from terralive_cli.live import last_session
from terralive_cli.output.events import Message
from terralive_cli.output.formats.words import listed
from terralive_cli.output.ui import Ui
from terralive_cli.stacks.joined import function_of_stack, of_stack
from terralive_cli.stacks.settings import settings_of_stack
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import without_keys
from terralive_terraform.artifacts import STUB_IMAGE, STUB_IMAGE_TAG, write_stub_image
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.runs.environment import terraform_environment
from terralive_workers.function import LocalCode, LocalFunction

_FIRST: Final = """\
# Settings of terralive. All of them are in terralive's docs/CONFIGURATION.md.
app = "{app}"
# stage = "dev-{{user}}"
# accounts = ["123456789012"]    # the AWS accounts that terralive may change

# [functions."aws_lambda_function.api"]
# path = "services/api"
"""


_SHOWN: Final = 5
_BUILDING: Final = """\
  docker buildx build --platform linux/amd64 --provenance=false -t {image} {folder}
  docker push {image}
  [stub_image]
  x86_64 = "{image}"
Read more in docs/CONFIGURATION.md, "Functions that are container images"."""


def run(
    config: Config,
    ui: Ui,
    *,
    vscode: bool = False,
    jetbrains: bool = False,
    stub_image: Path | None = None,
) -> int:
    """Write files that are missing; replace no file that terralive has not written itself."""
    if stub_image is not None:
        return _stub_image(stub_image, ui)
    config.require_program()
    if vscode or jetbrains:
        if vscode:
            _vscode(config, ui)
        if jetbrains:
            _jetbrains(config, ui)
        return 0
    return _first_configuration(config, ui)


def _first_configuration(config: Config, ui: Ui) -> int:
    file = config.project / FILE
    if file.exists():
        ui.emit(Message(message=f"{file} exists already. It was not changed."))
        return 0
    file.write_text(_FIRST.format(app=config.app), "utf-8")
    text = f"{file} is written. `terralive plan` shows which functions would become live."
    ui.emit(Message(message=text))
    return 0


def _stub_image(folder: Path, ui: Ui) -> int:
    has_files = folder.is_dir() and any(folder.iterdir())
    if has_files and not (folder / "terralive_stub").is_dir():
        raise ConfigurationError(
            "folder-not-empty",
            f"{folder} holds other files.",
            hint="Name a folder for the stub's image only: "
            "`terralive init --stub-image stub-image`.",
        )
    is_new = write_stub_image(folder)
    kept = "" if is_new else " (its Dockerfile was not changed)"
    commands = _BUILDING.format(image=f"REGISTRY/{STUB_IMAGE}:{STUB_IMAGE_TAG}", folder=folder)
    text = f"{folder} is written{kept}. Build the image, push it, and name it in terralive.toml:"
    ui.emit(Message(message=f"{text}\n{commands}"))
    return 0


def _vscode(config: Config, ui: Ui) -> None:
    several = _debuggable(config)
    wanted = [vs_code.attaching(code, port, config.project) for port, code in several.items]
    file = config.project / ".vscode" / "launch.json"
    _merge(file, wanted)
    names = ", ".join(str(item["name"]) for item in wanted) or "no function can be debugged"
    text = f"{file}: {names}. Run `terralive start --debug FUNCTION`, then attach in VS Code."
    ui.emit(Message(message=text + several.missing))


def _jetbrains(config: Config, ui: Ui) -> None:
    """Write the run configurations of Node.js functions, each of them in a file of its own."""
    several = _debuggable(config)
    files = jet_brains.run_configurations(several.items)
    folder = config.project / jet_brains.FOLDER
    for name, content in files.items():
        folder.mkdir(exist_ok=True)
        write_atomically(folder / name, content.encode())
    names = ", ".join(files) or "no Node.js function"
    text = (
        f"{folder}: {names}. Run `terralive start --debug FUNCTION`, then debug the configuration."
    )
    if len(files) < len(several.items):
        text += " PyCharm cannot attach to debugpy, so there are none for Python functions."
    ui.emit(Message(message=text + several.missing))


@dataclass(frozen=True, slots=True)
class _Debuggable:
    """Functions that an editor can attach to.

    Attributes:
        items: the port and the local code of each.
        missing: a sentence about functions whose code is not known yet; "" for none.
    """

    items: tuple[tuple[int, LocalCode], ...]
    missing: str


def _debuggable(config: Config) -> _Debuggable:
    declared, found = _without_a_plan(config)
    known = _last_session(config)
    found = [*_without(found, known), *known]
    blocks = {without_keys(code.address) for code in found}
    # As in a start, functions that are not live have no port.
    ports = ports_of([function for function in declared if function.address in blocks], found)
    several: list[tuple[int, LocalCode]] = []
    for code in found:
        port = ports.get(without_keys(code.address))
        if port is not None:
            several.append((port, code))
    others = [function.address for function in declared if function.address not in blocks]
    missing = ""
    if others:
        missing = (
            f" Only a plan tells the code of {listed(others, _SHOWN)}: run this command again after"
            " the first start, if they are live then."
        )
    return _Debuggable(tuple(several), missing)


def _merge(file: Path, wanted: Sequence[Mapping[str, Json]]) -> None:
    """Write configurations into a `launch.json`, beside those of the team."""
    before = ""
    if file.exists():
        before = file.read_text("utf-8")
    after = vs_code.merged(before, wanted, file)
    if after != before:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, after.encode())


def _without_a_plan(config: Config) -> tuple[list[DeclaredFunction], list[LocalCode]]:
    """Return the functions of the configuration, and the code that its files alone tell."""
    work = work_folder(config.project) / "init"
    environment = {**os.environ, "TERRALIVE_APP": config.app, "TERRALIVE_STAGE": config.stage}
    environment = terraform_environment(environment, work)
    declared: list[DeclaredFunction] = []
    found: list[LocalCode] = []
    parts = app_of(config).parts(work, environment)
    for part in parts:
        stack = ""
        if len(parts) > 1:
            stack = part.name
        with part.app.prepared(None, work, environment) as prepared:
            mapped = map_functions(settings_of_stack(config, part.name), prepared.live)
        declared += [function_of_stack(function, stack) for function in prepared.live]
        found += [of_stack(code, stack) for code in mapped.code.values()]
    return declared, found


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
