"""The configuration as frozen values, and what they decide: which settings are a function's, what is protected.

`loading.py` makes them; everything behind it takes values and gives values. No setting is read
anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import without_keys
from terralive_terraform.documents import Json

FILE: Final = "terralive.toml"
PROTECTED: Final = ("prod*", "main")
WORKERS: Final = 16


class Output(StrEnum):
    """How events are shown."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said; None where it said nothing."""

    stage: str | None = None
    region: str | None = None
    sandbox: bool | None = None
    output: str | None = None
    yes: bool | None = None
    allow_protected: bool | None = None
    debug: bool | None = None


@dataclass(frozen=True, slots=True)
class TerraformConfig:
    """The Terraform program.

    Attributes:
        dir: its absolute folder: the root module, or where `app` is run.
        app: the command of a CDK for Terraform program (`python main.py`); None for plain
            Terraform.
        stack: which of that program's stacks; None where it has one.
        binary: `terraform`, `tofu`, `terragrunt`, or a path.
        var_files: absolute paths for `-var-file`.
        found: whether there is a program at all.
    """

    dir: Path
    app: str | None = None
    stack: str | None = None
    binary: str = "terraform"
    var_files: tuple[Path, ...] = ()
    found: bool = True


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Where the debug stack's state is; placeholders are already put in."""

    type: str
    config: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DebugStackConfig:
    """What an organisation demands of the debug stack (see `DebugStackSettings`)."""

    permissions_boundary: str | None = None
    role_path: str = "/"
    name_prefix: str = "terralive"
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key: str | None = None
    log_retention_days: int = 7


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """What the file says of the functions that `pattern` matches; None where it says nothing.

    Attributes:
        pattern: a Terraform address or function name, `*` and `?` allowed.
        path: the absolute local code root.
        runtime: what runs the handler, where the configuration does not say (a container image).
        python, node: an absolute path, or a bare command name (`python3.12`).
        command: what to run instead of a runtime of terralive's: a program that speaks the Runtime
            API, its arguments.
        build: a shell command that makes the code in `path`, run in the project's folder.
        watch: globs, relative to `path`.
    """

    pattern: str
    path: Path | None = None
    handler: str | None = None
    runtime: str | None = None
    python: Path | None = None
    node: Path | None = None
    command: tuple[str, ...] = ()
    build: str | None = None
    watch: tuple[str, ...] = ()
    max_workers: int = WORKERS


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set.

    `workspace`: Terraform's own, or ""; `region` None: the AWS profile's; `output` None: what suits
        the terminal.
    """

    project: Path
    app: str
    stage: str
    user: str
    terraform: TerraformConfig
    workspace: str = ""
    region: str | None = None
    sandbox: bool = False
    forward_logs: bool = False
    output: Output | None = None
    yes: bool = False
    debug: bool = False
    protected: tuple[str, ...] = PROTECTED
    allow_protected: bool = False
    backend: BackendConfig | None = None
    debug_stack: DebugStackConfig = field(default_factory=DebugStackConfig)
    stub_images: Mapping[str, str] = field(default_factory=dict)  # by architecture
    functions: tuple[FunctionSettings, ...] = ()

    def function_for(self, address: str, name: str) -> FunctionSettings | None:
        """Find what the file says of a function, or of one instance of a function with `count` or `for_each`.

        The exact address or name goes first, then a pattern that names instances
        (`….worker["eu-*"]`), then the address without instance keys (`….worker` stands for all its
        instances), then any pattern, in file order.
        """
        declared = without_keys(address)
        own, all_names = {address, name} - {""}, {address, name, declared} - {""}
        ranks: tuple[Callable[[str], bool], ...] = (
            lambda pattern: pattern in own,
            lambda pattern: pattern != without_keys(pattern) and _matches(pattern, address),
            lambda pattern: pattern == declared,
            lambda pattern: any(_matches(pattern, item) for item in all_names),
        )
        return next((item for fits in ranks for item in self.functions if fits(item.pattern)), None)

    def of_instances(self, address: str) -> tuple[FunctionSettings, ...]:
        """Find what the file says of single instances of a function (`….worker["eu"]`, `….worker[*]`)."""
        declared = ((item, without_keys(item.pattern)) for item in self.functions)
        return tuple(
            item for item, base in declared if base != item.pattern and _matches(base, address)
        )

    def require_program(self) -> TerraformConfig:
        """Give the Terraform program, or raise ConfigurationError where the project has none."""
        if self.terraform.found:
            return self.terraform
        raise ConfigurationError(
            "no-terraform-program",
            f"No Terraform configuration in {self.terraform.dir}: neither *.tf files nor a cdktf.json.",
            hint=f'Go to your app\'s folder, give `--project DIR`, or name it in {FILE}: [terraform] dir = "infra".',
        )

    def refuse_protected(self) -> None:
        """Raise ConfigurationError for what is not to be touched: a stage, a Terraform workspace, a variables file.

        Plain Terraform knows nothing of stages: what it deploys is told apart by the last two.
        """
        named = [("Stage", self.stage)]
        if not self.sandbox:
            named += [("Terraform workspace", self.workspace)]
            named += [
                ("Variables file", file.name.partition(".")[0]) for file in self.terraform.var_files
            ]
        for kind, name in named:
            pattern = next((item for item in self.protected if _matches(item, name)), None)
            if pattern is None or self.allow_protected:
                continue
            raise ConfigurationError(
                "stage-protected",
                f'{kind} "{name}" is protected (by "{pattern}"): its functions would run on this machine.',
                hint="Work on a stage of your own (`--stage dev-…`, a workspace and variables of your own), or, if "
                "this is meant, add `--allow-protected`.",
            )


def _matches(pattern: str, value: str) -> bool:
    # Brackets stand in Terraform addresses (`aws_lambda_function.api["eu"]`) and mean themselves.
    return fnmatchcase(value, pattern.replace("[", "[[]"))
