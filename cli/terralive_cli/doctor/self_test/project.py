"""The project of the self-test: its app and its settings, in a folder of its own."""

from __future__ import annotations

import importlib.resources
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_sandbox import info
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import write_zip

APP: Final = "terralive-selftest"
_CODE: Final = "code/selftest.py"
_EDITION: Final = "EDITION = "
# Settings of the debug stack that need the user's own project, or belong to the other stage.
_NOT_TAKEN: Final = ("class_",)


@dataclass(frozen=True, slots=True)
class SelfTestProject:
    """The project of one self-test.

    Attributes:
        folder: its folder.
        stage: name of its stage, with a random suffix.
    """

    folder: Path
    stage: str

    @property
    def name(self) -> str:
        """The beginning of the names of its functions and roles."""
        return f"{APP}-{self.stage}"

    @property
    def echo(self) -> str:
        """The name of the function that returns its event."""
        return f"{self.name}-echo"

    @property
    def call(self) -> str:
        """The name of the function that invokes the other one."""
        return f"{self.name}-call"

    def edit(self, edition: int) -> None:
        """Edit the code as a developer does."""
        file = self.folder / _CODE
        lines: list[str] = []
        for line in file.read_text("utf-8").splitlines(keepends=True):
            if line.startswith(_EDITION):
                lines.append(f"{_EDITION}{edition}\n")
            else:
                lines.append(line)
        file.write_text("".join(lines), "utf-8")


def new_stage() -> str:
    """Return the name of a stage that nobody has."""
    return f"t{secrets.token_hex(3)}"


def write_project(
    folder: Path, stage: str, config: Config, account: str, sandbox: SandboxInfo | None
) -> SelfTestProject:
    """Write the project.

    Args:
        folder: an empty folder.
        stage: name of the stage.
        config: the user's configuration: the organisation's demands hold for the self-test, too.
        account: the account that it may work in.
        sandbox: the sandbox; None on AWS.
    """
    project = SelfTestProject(folder, stage)
    app = importlib.resources.files(__package__).joinpath("app")
    (folder / "code").mkdir()
    for name in ("main.tf", _CODE):
        (folder / name).write_text(app.joinpath(name).read_text("utf-8"), "utf-8")
    code = (folder / _CODE).read_bytes()
    write_zip({Path(_CODE).name: code}, folder / "code.zip")
    demands = config.debug_stack
    variables: dict[str, Json] = {
        "name": project.name,
        "runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "role_path": demands.role_path,
        "permissions_boundary": demands.permissions_boundary,
        "tags": dict(demands.tags),
    }
    values = folder / "terraform.tfvars.json"
    values.write_text(json.dumps(variables, indent=2), "utf-8")
    (folder / "terralive.toml").write_text(settings_text(config, stage, account), "utf-8")
    if sandbox is not None:
        (folder / ".terralive").mkdir()
        info.write(sandbox, folder / ".terralive" / "sandbox.json")
    return project


def settings_text(config: Config, stage: str, account: str) -> str:
    """Return the terralive.toml of a self-test.

    Args:
        config: the user's configuration.
        stage: name of the stage.
        account: the account that it may work in.
    """
    lines = [
        f'app = "{APP}"',
        f'stage = "{stage}"',
        f'source = "{APP}"',
        f'accounts = ["{account}"]',
        "",
        "[terraform]",
        f"binary = {json.dumps(config.terraform.binary)}",
        "",
        "[debug_stack]",
    ]
    demands = asdict(config.debug_stack)
    lines += [f"{name} = {_toml(demands[name])}" for name in _taken(demands)]
    lines += [
        "",
        '[functions."*"]',
        'path = "code"',
        f"python = {json.dumps(sys.executable)}",
    ]
    return "\n".join(lines) + "\n"


def _taken(demands: Mapping[str, object]) -> list[str]:
    return [name for name, value in demands.items() if name not in _NOT_TAKEN and value is not None]


def _toml(value: object) -> str:
    """Return a text, a number or a table of texts in TOML, whose texts are as in JSON."""
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(key)} = {json.dumps(item)}" for key, item in value.items()]
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)
