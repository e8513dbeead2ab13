"""Makes the configuration: flags over environment over `terralive.toml` over defaults.

It reads the file and looks for the Terraform program. A wrong setting is an error with its place,
and never the default instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from terralive_cli.configuration import rules
from terralive_cli.configuration.kinds import Context, WrongValueError
from terralive_cli.configuration.settings import FlagValue, Setting, settings_of
from terralive_cli.configuration.source import source_of
from terralive_cli.configuration.tables import (
    AccountSettings,
    BackendConfig,
    DebugStackConfig,
    FunctionSettings,
    StubImages,
    TerraformConfig,
)
from terralive_cli.configuration.toml_table import Problems, Table
from terralive_cli.configuration.values import FILE, Config, GivenRegion
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import read_object, text
from terralive_terraform.data_folder import selected_workspace

# The options that the user typed, by the names of `Config`'s fields.
Flags: TypeAlias = Mapping[str, FlagValue]
# Values of a dataclass by field name. The kinds of the settings vouch for the types.
_Values: TypeAlias = dict[str, Any]

# The variables from which Terraform's AWS provider takes its region; the first one counts.
SHELL_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_TERRAFORM_FILES: Final = ("*.tf", "*.tf.json", "*.tofu", "*.tofu.json")


def find_project(start: Path) -> Path:
    """Return the nearest folder with a terralive.toml, from `start` upwards, else `start`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    return start


def load(
    *,
    project: Path,
    flags: Flags,
    environ: Mapping[str, str],
    user: str,
    arguments: tuple[str, ...] = (),
) -> Config:
    """Read a project's configuration.

    Args:
        project: its folder.
        flags: the options that the user typed.
        environ: the environment variables.
        user: the login name, for `{user}` if TERRALIVE_USER is not set.
        arguments: the user's arguments for Terraform, each of them one word.

    Raises:
        ConfigurationError: `project-missing`, `configuration-unreadable`, `configuration-syntax`,
            or `configuration-invalid`, which lists every mistake at once.
    """
    project = project.resolve()
    if not project.is_dir():
        raise ConfigurationError(
            "project-missing",
            f"There is no folder {project}.",
            hint="Give the app's folder: `--project DIR`.",
        )
    problems = Problems()
    root = Table(_document(project / FILE), file=FILE, name="", problems=problems)
    reader = _Reader(flags, environ, Context(project), problems, arguments)
    config = _config(root, reader, user)
    root.end()
    # Only now, so that all mistakes are reported together.
    problems.raise_any()
    return config


def _document(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            "configuration-syntax",
            f"{file} is not TOML: {error}.",
            hint='Write texts in quotes (`stage = "dev"`) and table names in brackets '
            "(`[terraform]`): https://toml.io.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "configuration-unreadable",
            f"{file} cannot be read: {error}.",
            hint="The file must be readable and in UTF-8.",
        ) from None


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that the user gave, and its place for errors."""

    value: Any
    where: str


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads settings from all their sources and reports mistakes to `problems`."""

    flags: Flags
    environ: Mapping[str, str]
    context: Context
    problems: Problems
    arguments: tuple[str, ...] = field(default=(), repr=False)

    def read(
        self, kind: type, table: Table, defaults: Mapping[str, object] | None = None
    ) -> _Values:
        """Return the values of all settings of a dataclass.

        Args:
            kind: the dataclass.
            table: its table in terralive.toml.
            defaults: defaults that are no constants, by field name.
        """
        values: _Values = {}
        for setting in settings_of(kind):
            default = setting.default
            if defaults is not None:
                default = defaults.get(setting.name, default)
            values[setting.name] = self.value(setting, table, default)
        return values

    def value(self, setting: Setting, table: Table, default: object) -> object:
        """Return the value of one setting; the default if it is not given or wrong."""
        given = self._given(setting, table)
        # A default is complete and need not obey the rule: AWS_REGION is AWS's own.
        if given is None:
            return default
        try:
            value = setting.kind.complete(given.value, self.context)
        except WrongValueError as wrong:
            self.problems.add(given.where, str(wrong))
            return default
        if setting.rule is not None:
            mistake = setting.rule(value)
            if mistake:
                self.problems.add(given.where, mistake)
                return default
        return value

    def _given(self, setting: Setting, table: Table) -> _Given | None:
        # The file is always read: a value of the wrong type is an error even if a flag wins.
        in_file = self._in_file(setting, table)
        flag = self.flags.get(setting.name)
        if flag is not None and setting.flag:
            return _Given(flag, setting.flag)
        variable = self._in_environment(setting)
        if variable is not None:
            return variable
        return in_file

    def _in_file(self, setting: Setting, table: Table) -> _Given | None:
        value = table.value(setting.own_key) if setting.in_file else None
        if value is None:
            return None
        try:
            return _Given(setting.kind.from_toml(value), table.where(setting.own_key))
        except WrongValueError as wrong:
            table.report(setting.own_key, wrong)
            return None

    def _in_environment(self, setting: Setting) -> _Given | None:
        if setting.env not in self.environ:
            return None
        try:
            value = setting.kind.from_text(self.environ[setting.env])
        except WrongValueError as wrong:
            self.problems.add(setting.env, str(wrong))
            return None
        if value is None:
            return None
        return _Given(value, setting.env)


def _config(root: Table, reader: _Reader, login: str) -> Config:
    context = reader.context
    own = {setting.name: setting for setting in settings_of(Config)}

    # `{user}` may stand in `stage`, and all three may stand in the backend's configuration.
    user = str(reader.value(own["user"], root, login))
    user = rules.sanitise(user) or "user"
    context.placeholders["user"] = user
    source = source_of(context.project)
    shell_regions = [reader.environ.get(name) for name in SHELL_REGIONS]
    values = reader.read(
        Config,
        root,
        {
            "app": rules.sanitise(source.name) or "app",
            "source": str(source),
            "stage": f"dev-{user}",
            "region": next(filter(None, shell_regions), None),
        },
    )
    given_regions = _given_regions(own["region"], root, reader)
    # `project` and `user` have values that differ from what was given: absolute, sanitised.
    values["project"] = context.project
    values["user"] = user
    context.placeholders["app"] = values["app"]
    context.placeholders["stage"] = values["stage"]

    # From here on, the tables of the file.
    terraform = _terraform(root.table("terraform"), reader)
    debug_stack = root.table("debug_stack")
    values["debug_stack"] = DebugStackConfig(**reader.read(DebugStackConfig, debug_stack))
    debug_stack.end()
    image_base, images = _stub_images(root.table("stub_image"), reader)
    return Config(
        **values,
        terraform=terraform,
        given_regions=given_regions,
        workspace=selected_workspace(terraform.dir, reader.environ),
        backend=_backend(root, reader),
        stub_images=images,
        stub_image_base=image_base,
        account_settings=_accounts(root, reader),
        functions=_functions(root.table("functions"), reader),
    )


def _given_regions(setting: Setting, table: Table, reader: _Reader) -> tuple[GivenRegion, ...]:
    """Return every region that was given, in the order of precedence."""
    given = [
        GivenRegion(str(reader.flags.get(setting.name) or ""), setting.flag),
        GivenRegion(reader.environ.get(setting.env, ""), setting.env),
        GivenRegion(str(table.value(setting.name) or ""), f"`region` in {FILE}"),
        *(GivenRegion(reader.environ.get(name, ""), name) for name in SHELL_REGIONS),
    ]
    return tuple(item for item in given if item.region)


def _terraform(table: Table, reader: _Reader) -> TerraformConfig:
    values = reader.read(TerraformConfig, table, {"dir": reader.context.project})
    table.end()
    folder: Path = values["dir"]
    # As the cdktf CLI does, take the program from cdktf.json.
    if values["app"] is None:
        values["app"] = text(read_object(folder / "cdktf.json"), "app") or None
    found = values["app"] is not None or _has_terraform_files(folder)
    return TerraformConfig(**values, found=found, arguments=reader.arguments)


def _has_terraform_files(folder: Path) -> bool:
    for pattern in _TERRAFORM_FILES:
        for _ in folder.glob(pattern):
            return True
    return False


def _backend(root: Table, reader: _Reader) -> BackendConfig | None:
    table = root.table("backend")
    values = reader.read(BackendConfig, table)
    table.end()
    if values["type"] is not None:
        return BackendConfig(**values)
    if root.has("backend") and not table.has("type"):
        reader.problems.add(
            table.where("type"), 'it is missing; a backend has a type (`type = "s3"`).'
        )
    return None


def _stub_images(table: Table, reader: _Reader) -> tuple[str, dict[str, str]]:
    """Return the base image of the stub's, and the team's own images by architecture."""
    values = reader.read(StubImages, table)
    table.end()
    base = values.pop("base")
    return base, {name: image for name, image in values.items() if image is not None}


def _accounts(root: Table, reader: _Reader) -> tuple[AccountSettings, ...]:
    if not isinstance(root.value("accounts"), dict):
        return ()  # a list, or nothing
    accounts = []
    for account, own in root.table("accounts").tables():
        accounts.append(AccountSettings(account, **reader.read(AccountSettings, own)))
        own.end()
    return tuple(accounts)


def _functions(table: Table, reader: _Reader) -> tuple[FunctionSettings, ...]:
    functions = []
    for pattern, own in table.tables():
        functions.append(FunctionSettings(pattern, **reader.read(FunctionSettings, own)))
        own.end()
    return tuple(functions)
