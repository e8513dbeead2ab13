"""The configuration: the frozen value that holds every setting that terralive has.

Each setting is declared on the field that holds it (see `settings.py`): those of the tables of
terralive.toml in `tables.py`, all others here. `loading.py` makes the values. No other module reads
a setting, except those in `READ_ELSEWHERE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from terralive_cli.configuration import rules
from terralive_cli.configuration.kinds import (
    Choice,
    ChoiceOrSwitch,
    Folder,
    Number,
    Switch,
    Text,
    Texts,
    TextsOrTables,
)
from terralive_cli.configuration.settings import Setting, setting, setting_table
from terralive_cli.configuration.tables import (
    AccountSettings,
    BackendConfig,
    DebugStackConfig,
    DownloadChoice,
    FallbackChoice,
    FunctionSettings,
    StubImages,
    TerraformConfig,
)
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import has_keys, matches, names_of, without_keys
from terralive_terraform.artifacts import STUB_IMAGE_BASE

# The words in the reason of a function that the user leaves out.
LEAVES_OUT: Final = "leaves it out"
FILE: Final = "terralive.toml"
# The commands that make functions live, or show which of them would be.
_LIVE_COMMANDS: Final = ("plan", "apply", "start")


class Output(StrEnum):
    """Format of the output."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


class OnExit(StrEnum):
    """The end of a start: what happens to the stubs."""

    RESTORE = "restore"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class GivenRegion:
    """A region that somebody has given.

    Attributes:
        region: the region's name.
        source: where it was given, for a person: `--region`, `AWS_REGION`.
    """

    region: str
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    Attributes:
        terraform: the Terraform program.
        workspace: the selected Terraform workspace; "" if none is selected.
        region: the AWS region; None for the region of the provider or of the AWS profile.
        given_regions: the regions that were given, and by what; the one that counts comes first.
        output: format of the output; None for the one that suits the terminal.
        backend: None for a local state under `.terralive/`.
        stub_images: the stub as a container image, by architecture, where the team has made it.
        stub_image_base: the base of the images that terralive makes.
        account_settings: credentials for functions of other accounts.
        functions: settings of functions, in the order of the file.
    """

    project: Path = setting(
        Text(),
        "The project's folder. Paths in `terralive.toml` are relative to it.",
        in_file=False,
        flag="--project",
        metavar="DIR",
        env="TERRALIVE_PROJECT",
        shown_default="the nearest folder with a `terralive.toml`, from the current "
        "folder upwards, else the current folder",
    )
    app: str = setting(
        Text(),
        "Name of the app. It is part of every name and tag.",
        env="TERRALIVE_APP",
        shown_default="the name of the Git repository (of its remote, else of its top folder), "
        "without Git the name of the project's folder, or of the one around `infra` or `terraform`",
        rule=rules.name,
    )
    stage: str = setting(
        Text(placeholders=("user",)),
        "The deployed copy of the app to work on. `{user}` is your user name.",
        flag="--stage",
        metavar="S",
        env="TERRALIVE_STAGE",
        shown_default="`dev-{user}`",
        rule=rules.name,
    )
    user: str = setting(
        Text(),
        "Your user name: the value of `{user}`, and the owner of the stage.",
        in_file=False,
        env="TERRALIVE_USER",
        shown_default="your login name",
    )
    terraform: TerraformConfig = setting_table("terraform", TerraformConfig)
    workspace: str = ""
    source: str = setting(
        Text(),
        "Where the project comes from. A debug stack of another source is never used or changed.",
        default="",
        env="TERRALIVE_SOURCE",
        shown_default="the Git remote and the project's folder in the repository, as in "
        "`github.com/acme/orders//infra`; without a remote the folders' names",
        rule=rules.source,
    )
    region: str | None = setting(
        Text(),
        "The AWS region.",
        default=None,
        flag="--region",
        metavar="R",
        env="TERRALIVE_REGION",
        shown_default="`AWS_REGION`, `AWS_DEFAULT_REGION`, the literal region of your Terraform "
        'configuration\'s `provider "aws"`, else the region of your AWS profile',
        rule=rules.region,
    )
    given_regions: tuple[GivenRegion, ...] = ()
    sandbox: bool = setting(
        Switch(),
        "Use AWS in one local process instead of an account.",
        default=False,
        flag="--sandbox",
        env="TERRALIVE_SANDBOX",
    )
    output: Output | None = setting(
        Choice(Output),
        "Format of the output: `rich`, `plain`, or `json` (one object per line, for scripts).",
        default=None,
        flag="--output",
        metavar="KIND",
        env="TERRALIVE_OUTPUT",
        shown_default="`rich` in a terminal, else `plain`",
    )
    forward_logs: bool = setting(
        Switch(),
        "Also write the local output of handlers to the functions' logs in CloudWatch (at "
        "most 90 KB per second and invocation).",
        default=False,
        flag="--forward-logs",
        commands=("start",),
        env="TERRALIVE_FORWARD_LOGS",
    )
    keep_events: bool = setting(
        Switch(),
        "Keep the last event of each function that `start` runs, for `invoke --event @last`. "
        "Events may hold personal data: the files are in `.terralive`, only you can read them, "
        "and `destroy` removes them.",
        default=True,
        env="TERRALIVE_KEEP_EVENTS",
    )
    on_exit: OnExit | None = setting(
        Choice(OnExit),
        "What `start` does at its end, also at `stop`: `restore` the functions' own code, or "
        "`keep` the stubs.",
        default=None,
        flag="--on-exit",
        metavar="KIND",
        commands=("start", "stop"),
        env="TERRALIVE_ON_EXIT",
        shown_default="in a terminal, the first Ctrl-C asks; elsewhere `keep`",
    )
    only: tuple[str, ...] = setting(
        Texts(),
        "Make only these functions live, by name or Terraform address; `*` and `?` are wildcards. "
        "The option may be given several times.",
        default=(),
        in_file=False,
        flag="--only",
        metavar="FUNCTION",
        commands=_LIVE_COMMANDS,
        env="TERRALIVE_ONLY",
        shown_default="all functions",
    )
    except_: tuple[str, ...] = setting(
        Texts(),
        "Leave these functions as they are, by name or Terraform address; `*` and `?` are "
        "wildcards. The option may be given several times.",
        default=(),
        in_file=False,
        flag="--except",
        metavar="FUNCTION",
        commands=_LIVE_COMMANDS,
        env="TERRALIVE_EXCEPT",
        shown_default="none",
    )
    download_layers: DownloadChoice = setting(
        ChoiceOrSwitch(DownloadChoice),
        "Whether `start` downloads layers that the configuration names by ARN, so that their code "
        "runs in workers: `ask` asks on a terminal, once for each layer, `true` downloads them, "
        "`false` does not. `start` names a layer that is not downloaded, and handlers run "
        "without it. `--yes` does not answer this question.",
        default=DownloadChoice.ASK,
        flag="--download-layers",
        commands=("start",),
        env="TERRALIVE_DOWNLOAD_LAYERS",
    )
    fallback: FallbackChoice = setting(
        ChoiceOrSwitch(FallbackChoice),
        "Whether the deployed code of a live function answers where nobody is connected, as a "
        "version that terralive publishes before the stub takes its place. `auto`: where that is "
        "possible; `true`: also for functions with SnapStart, which costs time and money, and a "
        "function that was never deployed gets its own code before the stub; `false`: nothing is "
        "published, and such invocations fail.",
        default=FallbackChoice.AUTO,
        flag="--fallback",
        commands=_LIVE_COMMANDS,
        env="TERRALIVE_FALLBACK",
    )
    stub_check_seconds: int = setting(
        Number(0, 3600),
        "Seconds between two looks of `terralive start` whether the live functions still have this "
        "stage's stub; 0 for none. A warning tells that a pipeline or a colleague has replaced it.",
        default=60,
    )
    yes: bool = setting(
        Switch(),
        "Change things without a question.",
        default=False,
        in_file=False,
        flag="--yes",
        short="-y",
        env="TERRALIVE_YES",
    )
    debug: bool = setting(
        Switch(),
        "Print a traceback with every error. For `start`, write it before the command "
        "(`terralive --debug start`): after it, `--debug` takes a function for a debugger.",
        default=False,
        in_file=False,
        flag="--debug",
        env="TERRALIVE_DEBUG",
    )
    protected: tuple[str, ...] = setting(
        Texts(),
        "Stages, Terraform workspaces and variables files that terralive does not touch.",
        default=("prod*", "main"),
    )
    production_words: tuple[str, ...] = setting(
        Texts(),
        "Words that mean production, wherever they are in a name: a folder of the repository, the "
        "stage, the workspace, a variables file, an environment's variable or tag, the backend's "
        "arguments, the AWS profile, the account's alias, a function. terralive does not touch "
        "what has such a name.",
        default=("prod", "production", "prd"),
    )
    accounts: tuple[str, ...] = setting(
        TextsOrTables(),
        "Ids of the AWS accounts that terralive may change. In the environment variable, they are "
        "separated by commas. Instead of a list, there may be a table for each account "
        '(`[accounts."123456789012"]`).',
        default=(),
        env="TERRALIVE_ACCOUNTS",
        shown_default="each account that you have confirmed on this machine",
        rule=rules.accounts,
    )
    allow_protected: bool = setting(
        Switch(),
        "In this run, also work on a protected stage, and on what looks like production.",
        default=False,
        in_file=False,
        flag="--allow-protected",
    )
    backend: BackendConfig | None = setting_table("backend", BackendConfig, default=None)
    debug_stack: DebugStackConfig = setting_table(
        "debug_stack", DebugStackConfig, default_factory=DebugStackConfig
    )
    stub_images: Mapping[str, str] = setting_table("stub_image", StubImages, default_factory=dict)
    stub_image_base: str = STUB_IMAGE_BASE
    account_settings: tuple[AccountSettings, ...] = setting_table(
        'accounts."ID"', AccountSettings, default=()
    )
    functions: tuple[FunctionSettings, ...] = setting_table(
        'functions."NAME"', FunctionSettings, default=()
    )

    def function_for(self, address: str, name: str) -> FunctionSettings | None:
        """Return the settings of a function, or of one instance with `count` or `for_each`.

        The order of precedence: the exact address or name; a pattern that names instances
        (`….worker["eu-*"]`); the address without instance keys (`….worker` is for all instances);
        any other pattern. Within one rank the first one in the file counts.
        """
        declared = without_keys(address)
        exact = {address, name} - {""}
        all_names = {address, name, declared} - {""}
        ranks: list[list[FunctionSettings]] = [[], [], [], []]
        for item in self.functions:
            if item.pattern in exact:
                ranks[0].append(item)
            elif has_keys(item.pattern) and matches(item.pattern, address):
                ranks[1].append(item)
            elif item.pattern == declared:
                ranks[2].append(item)
            elif any(matches(item.pattern, known) for known in all_names):
                ranks[3].append(item)
        for rank in ranks:
            if rank:
                return rank[0]
        return None

    def left_out(self, address: str, name: str) -> str:
        """Return why the user leaves a function out, or one instance of it; "" where it is wanted.

        `--only` and `--except` take precedence over `live = false` in the file.

        Args:
            address: its address, perhaps with instance keys.
            name: its name; "" where it is not known.
        """
        names = names_of(address, name)

        def is_named(patterns: tuple[str, ...]) -> bool:
            return any(matches(pattern, known) for pattern in patterns for known in names)

        if is_named(self.except_):
            return f"--except {LEAVES_OUT}"
        if self.only:
            return "" if is_named(self.only) else f"--only {LEAVES_OUT}"
        settings = self.function_for(address, name)
        if settings is not None and not settings.live:
            return f"{FILE} {LEAVES_OUT} (live = false)"
        return ""

    def of_instances(self, address: str) -> tuple[FunctionSettings, ...]:
        """Return the settings of single instances of a function (`….worker["eu"]`)."""
        found = []
        for item in self.functions:
            base = without_keys(item.pattern)
            if has_keys(item.pattern) and matches(base, address):
                found.append(item)
        return tuple(found)

    def require_program(self) -> TerraformConfig:
        """Return the Terraform program.

        Raises:
            ConfigurationError: `no-terraform-program`.
        """
        if self.terraform.found:
            return self.terraform
        raise ConfigurationError(
            "no-terraform-program",
            f"No Terraform configuration in {self.terraform.dir}: there are no *.tf files and no "
            "cdktf.json.",
            hint="Go to your app's folder, add `--project DIR`, or name the folder in the table "
            f'[terraform] of {FILE}: dir = "infra".',
        )

    def refuse_protected(self) -> None:
        """Raise ConfigurationError if the stage, the workspace or a variables file is protected.

        Plain Terraform knows no stages: a workspace or a variables file tells its copies apart.
        """
        if self.allow_protected:
            return
        named = [("Stage", self.stage)]
        if not self.sandbox:
            named.append(("Terraform workspace", self.workspace))
            for file in self.terraform.given_var_files:
                named.append(("Variables file", file.name.partition(".")[0]))
        for kind, name in named:
            for pattern in self.protected:
                if matches(pattern, name):
                    raise _protected(kind, name, pattern)


# Settings that other parts of terralive read from the environment.
READ_ELSEWHERE: Final = (
    Setting(
        Text(),
        "Level of the debug log: `debug`, `info`, `warning` or `error`. With `debug`, it shows "
        "decisions, retries and the protocol of all parts, and never payloads, environment "
        "variables of functions, or credentials.",
        in_file=False,
        env="TERRALIVE_LOG",
        shown_default="no debug log",
    ),
    Setting(
        Text(),
        "File for the debug log. The sandbox appends to the same file.",
        in_file=False,
        env="TERRALIVE_LOG_FILE",
        shown_default="stderr; for the sandbox, `.terralive/sandbox.log`",
    ),
    Setting(
        Folder(),
        "Mirror folder from which Terraform installs provider plugins (see `terraform providers "
        "mirror`).",
        in_file=False,
        env="TERRALIVE_PROVIDER_MIRROR",
        shown_default="Terraform's own sources: the registry, or an implied mirror folder",
    ),
)


def _protected(kind: str, name: str, pattern: str) -> ConfigurationError:
    return ConfigurationError(
        "stage-protected",
        f'{kind} "{name}" is protected (by "{pattern}"): its functions would run on this machine.',
        hint="Work on a stage of your own (`--stage dev-…`, with its own workspace and variables "
        "file). If you are sure, add `--allow-protected`.",
    )
