"""Makes the configuration: flags over environment over `terralive.toml` over defaults.

It reads the file and looks for the Terraform program. A wrong setting is an error with its place,
never a default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration import rules
from terralive_cli.configuration.table import Problems, Table, closest
from terralive_cli.configuration.values import (
    FILE,
    PROTECTED,
    WORKERS,
    BackendConfig,
    Config,
    DebugStackConfig,
    Flags,
    FunctionSettings,
    Output,
    TerraformConfig,
)
from terralive_stub.errors import ConfigurationError
from terralive_terraform.documents import Json, read_object, text

_ARCHITECTURES: Final = (
    "x86_64",
    "arm64",
)  # https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
_MOST_WORKERS: Final = 1000  # Lambda's own default: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")
_TERRAFORM_FILES: Final = ("*.tf", "*.tf.json", "*.tofu", "*.tofu.json")


def find_project(start: Path) -> Path:
    """Give the nearest folder with a terralive.toml, from `start` upwards.

    `start` where there is none.
    """
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / FILE).is_file()), start)


def load(*, project: Path, flags: Flags, environ: Mapping[str, str], user: str) -> Config:
    """Read a project's configuration.

    Args:
        project: its folder.
        flags: what the command line said.
        environ: the environment; only `TERRALIVE_*`, `AWS_REGION` and `AWS_DEFAULT_REGION` are
            looked at.
        user: the login name, for `{user}` where TERRALIVE_USER is not set.

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
    config = _build(
        _read(project / FILE),
        project=project,
        flags=flags,
        environ=environ,
        user=user,
        problems=problems,
    )
    problems.raise_any()
    return config


def _read(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            "configuration-syntax",
            f"{file} is not TOML: {error}.",
            hint='Texts stand in quotes (`stage = "dev"`), tables in brackets (`[terraform]`): https://toml.io.',
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "configuration-unreadable",
            f"{file} cannot be read: {error}.",
            hint="It has to be a readable UTF-8 file.",
        ) from None


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where a value may come from, in order: flag, environment, file."""

    environ: Mapping[str, str]
    root: Table
    problems: Problems

    def text(
        self,
        key: str,
        env: str,
        default: str,
        check: Callable[[str], str] | None = None,
        flag: str | None = None,
    ) -> str:
        from_file, from_env = self.root.text(key), self.environ.get(env)
        if flag is not None:
            value, where = flag, f"--{key}"
        elif from_env:
            value, where = from_env, env
        elif from_file is not None:
            value, where = from_file, self.root.where(key)
        else:
            return default
        wrong = check(value) if check else ""
        if wrong:
            self.problems.add(where, wrong)
            return default
        return value

    def flag(self, env: str, flag: bool | None, key: str = "") -> bool:
        from_file = self.root.flag(key) if key else None
        if flag is not None:
            return flag
        value = self.environ.get(env)
        if value is None:
            return bool(from_file)
        if value.lower() not in (*_TRUE, *_FALSE):
            self.problems.add(
                env, f'it is "{value}"; allowed are {", ".join((*_TRUE, *_FALSE[:-1]))}.'
            )
        return value.lower() in _TRUE


def _build(
    document: Mapping[str, object],
    *,
    project: Path,
    flags: Flags,
    environ: Mapping[str, str],
    user: str,
    problems: Problems,
) -> Config:
    root = Table(document, file=FILE, name="", problems=problems)
    sources = _Sources(environ, root, problems)
    user = rules.sanitise(environ.get("TERRALIVE_USER") or user) or "user"
    app = sources.text("app", "TERRALIVE_APP", rules.sanitise(project.name) or "app", rules.name)
    stage = sources.text(
        "stage", "TERRALIVE_STAGE", "dev-{user}", _placed_name({"user": user}), flags.stage
    )
    stage = _place(stage, {"user": user})[0]
    output = sources.text("output", "TERRALIVE_OUTPUT", "", _output, flags.output)
    aws_region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    protected = root.texts("protected")
    terraform = _terraform(root.table("terraform"), project, environ, problems)
    config = Config(
        project=project,
        app=app,
        stage=stage,
        user=user,
        terraform=terraform,
        workspace=_workspace(terraform.dir, environ),
        region=sources.text("region", "TERRALIVE_REGION", aws_region, rules.region, flags.region)
        or None,
        sandbox=sources.flag("TERRALIVE_SANDBOX", flags.sandbox, "sandbox"),
        forward_logs=sources.flag("TERRALIVE_FORWARD_LOGS", None, "forward_logs"),
        output=Output(output) if output else None,
        yes=sources.flag("TERRALIVE_YES", flags.yes),
        debug=sources.flag("TERRALIVE_DEBUG", flags.debug),
        protected=PROTECTED if protected is None else protected,
        allow_protected=bool(flags.allow_protected),
        backend=_backend(root, {"app": app, "stage": stage, "user": user}, problems),
        debug_stack=_debug_stack(root.table("debug_stack"), problems),
        stub_images=_stub_images(root.table("stub_image"), problems),
        functions=_functions(root.table("functions"), project),
    )
    root.end()
    return config


def _workspace(folder: Path, environ: Mapping[str, str]) -> str:
    """Give the selected Terraform workspace, or "" (https://developer.hashicorp.com/terraform/language/state/workspaces)."""
    selected = folder / environ.get("TF_DATA_DIR", ".terraform") / "environment"
    try:
        return environ.get("TF_WORKSPACE") or selected.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _output(value: str) -> str:
    known = [item.value for item in Output]
    return (
        ""
        if value in known
        else f'"{value}" is no output.{closest(value, known)} Known: {", ".join(known)}.'
    )


def _terraform(
    table: Table, project: Path, environ: Mapping[str, str], problems: Problems
) -> TerraformConfig:
    from_file = table.text("dir")
    given = environ.get("TERRALIVE_TERRAFORM_DIR") or from_file
    folder = (project / given).resolve() if given else project
    if not folder.is_dir():
        problems.add(table.where("dir"), f"there is no folder {folder}.")
    binary = table.text("binary")
    binary = environ.get("TERRALIVE_TERRAFORM_BINARY") or binary or "terraform"
    if "/" in binary:
        binary = str(project / Path(binary).expanduser())
    app = table.text("app") or text(read_object(folder / "cdktf.json"), "app") or None
    config = TerraformConfig(
        dir=folder,
        app=app,
        stack=table.text("stack"),
        binary=binary,
        var_files=tuple(
            _file(project, item, table.where("var_files"), problems)
            for item in table.texts("var_files") or ()
        ),
        found=app is not None
        or any(True for pattern in _TERRAFORM_FILES for _ in folder.glob(pattern)),
    )
    table.end()
    return config


def _file(project: Path, name: str, where: str, problems: Problems) -> Path:
    path = (project / name).resolve()
    if not path.is_file():
        problems.add(where, f"there is no file {path}.")
    return path


def _backend(root: Table, values: Mapping[str, str], problems: Problems) -> BackendConfig | None:
    table = root.table("backend")
    kind = table.text("type")
    config = table.document("config")
    table.end()
    if kind is None:
        if root.has("backend"):
            problems.add(
                table.where("type"), 'it is missing; a backend has a type (`type = "s3"`).'
            )
        return None
    _check(table, "type", rules.backend(kind), problems)
    unknown: set[str] = set()
    placed = {key: _place_json(value, values, unknown) for key, value in config.items()}
    if unknown:
        _check(table, "config", _unknown(unknown, values), problems)
    return BackendConfig(kind, placed)


def _debug_stack(table: Table, problems: Problems) -> DebugStackConfig:
    default = DebugStackConfig()

    def checked(key: str, rule: Callable[[str], str]) -> str | None:
        value = table.text(key)
        if value is not None:
            _check(table, key, rule(value), problems)
        return value

    tags = table.labels("tags")
    _check(table, "tags", rules.tags(tags), problems)
    days = table.number("log_retention_days", least=1, most=max(rules.RETENTION_DAYS))
    if days is not None:
        _check(table, "log_retention_days", rules.retention(days), problems)
    config = DebugStackConfig(
        permissions_boundary=checked("permissions_boundary", rules.permissions_boundary),
        role_path=checked("role_path", rules.role_path) or default.role_path,
        name_prefix=checked("name_prefix", rules.name) or default.name_prefix,
        tags=tags,
        kms_key=checked("kms_key", rules.kms_key),
        log_retention_days=days or default.log_retention_days,
    )
    table.end()
    return config


def _stub_images(table: Table, problems: Problems) -> dict[str, str]:
    images = {name: image for name in _ARCHITECTURES if (image := table.text(name)) is not None}
    for name, image in images.items():
        _check(table, name, rules.image(image), problems)
    table.end()
    return images


def _functions(table: Table, project: Path) -> tuple[FunctionSettings, ...]:
    functions = []
    for pattern, own in table.tables():
        path, python, node = own.text("path"), own.text("python"), own.text("node")
        functions.append(
            FunctionSettings(
                pattern=pattern,
                path=(project / Path(path).expanduser()).resolve() if path else None,
                handler=own.text("handler"),
                runtime=own.text("runtime"),
                python=_interpreter(project, python) if python else None,
                node=_interpreter(project, node) if node else None,
                command=own.texts("command") or (),
                build=own.text("build"),
                watch=own.texts("watch") or (),
                max_workers=own.number("max_workers", least=1, most=_MOST_WORKERS) or WORKERS,
            )
        )
        own.end()
    return tuple(functions)


def _interpreter(project: Path, value: str) -> Path:
    # Not resolved: a venv's python is a symbolic link, and following it would leave the venv.
    return project / Path(value).expanduser() if "/" in value else Path(value)


def _check(table: Table, key: str, wrong: str, problems: Problems) -> None:
    if wrong:
        problems.add(table.where(key), wrong)


def _placed_name(values: Mapping[str, str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        placed, unknown = _place(value, values)
        return _unknown(unknown, values) if unknown else rules.name(placed)

    return check


def _place(value: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Put values into `{name}`s; also give the names that there are none for."""
    unknown = {name for name in _PLACEHOLDER.findall(value) if name not in values}
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), value), unknown


def _place_json(value: Json, values: Mapping[str, str], unknown: set[str]) -> Json:
    if isinstance(value, str):
        placed, missing = _place(value, values)
        unknown |= missing
        return placed
    if isinstance(value, list):
        return [_place_json(item, values, unknown) for item in value]
    if isinstance(value, dict):
        return {key: _place_json(item, values, unknown) for key, item in value.items()}
    return value


def _unknown(names: Iterable[str], values: Mapping[str, str]) -> str:
    return f"there is no {_braced(sorted(names))}; known are {_braced(values)}."


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
