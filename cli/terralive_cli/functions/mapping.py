"""Which local code stands behind which deployed function. Pure but for looking at files.

The configuration's `[functions."…"]` goes first, then what the Terraform configuration tells (an
asset's folder, the `Function` construct). What is wrong with a mapping is found before anything is
deployed.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from terralive_cli.configuration.values import Config, FunctionConfig
from terralive_cli.functions import interpreters
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import without_keys
from terralive_terraform.substitution.rules import FunctionFacts
from terralive_workers.function import Build, LocalFunction

_MAX_PATHS: Final = 3
_NO_NODE: Final = Path("node")  # a name that PATH does not know
_NONE_RESERVED: Final[Mapping[str, int | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LocalCode:
    """The local side of one function of the configuration.

    With `count` or `for_each`, of one or more instances.
    """

    address: str
    path: Path
    handler: str
    runtime: str
    python: Path
    node: Path
    command: tuple[str, ...]
    watch: tuple[str, ...]
    max_workers: int
    build: Build | None = None

    @property
    def interpreter(self) -> Path | None:
        """What runs the handler, where that is an interpreter of terralive's choice."""
        if self.command:
            return None
        return {"python": self.python, "nodejs": self.node}.get(_family(self.runtime))

    def instance(self, address: str, name: str, reserved: int | None = None) -> LocalFunction:
        """Give one instance.

        `reserved`: its reserved concurrency in Lambda, over which nothing runs here either.
        """
        return LocalFunction(
            name=name,
            address=address,
            runtime=self.runtime,
            handler=self.handler,
            path=self.path,
            python=self.python,
            node=self.node,
            command=self.command,
            watch=self.watch,
            build=self.build,
            max_workers=self.max_workers
            if reserved is None
            else max(1, min(self.max_workers, reserved)),
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """`code`.

    By address, or by what the file says of instances. `unmapped`: address -> why there is no local
    code.
    """

    code: Mapping[str, LocalCode]
    unmapped: Mapping[str, str]


def map_functions(config: Config, functions: Sequence[FunctionFacts]) -> Mapped:
    """Find the local code of functions.

    Raises:
        ConfigurationError: `handler-missing`, `function-path-missing`, `program-missing`,
            `bootstrap-missing`: the configuration names what is not there.
    """
    code: dict[str, LocalCode] = {}
    unmapped: dict[str, str] = {}
    for facts in functions:
        found = {facts.address: _local_code(config, facts, facts.address, facts.function_name)}
        special = config.of_instances(facts.address) if facts.instanced else ()
        found.update(
            {item.pattern: _local_code(config, facts, item.pattern, "") for item in special}
        )
        if special and isinstance(found[facts.address], str):
            del found[facts.address]  # every instance then needs its own; `instances` sees to it
        wrong = [reason for reason in found.values() if isinstance(reason, str)]
        if wrong:
            unmapped[facts.address] = wrong[0]
        else:
            code.update({name: item for name, item in found.items() if isinstance(item, LocalCode)})
    return Mapped(code, unmapped)


def instances(
    config: Config,
    functions: Sequence[FunctionFacts],
    names: Mapping[str, str],
    reserved: Mapping[str, int | None] = _NONE_RESERVED,
) -> tuple[LocalFunction, ...]:
    """Give the local code of each instance of functions (`count`, `for_each`, modules with either).

    Args:
        config: the configuration.
        functions: the live ones.
        names: the deployed functions' names by their addresses; "" for one that is not deployed
            yet.
        reserved: their reserved concurrency, where they have one.

    Raises:
        ConfigurationError: `instance-unmapped`; also what `map_functions` raises.
    """
    declared = {facts.address: facts for facts in functions}
    mapped: list[LocalFunction] = []
    wrong: list[str] = []
    for address, name in names.items():
        facts = declared.get(without_keys(address))
        if facts is None:
            continue
        found = _local_code(config, facts, address, name)
        if isinstance(found, LocalCode):
            mapped.append(found.instance(address, name, reserved.get(address)))
        else:
            wrong.append(f"{address}: {found}")
    if wrong:
        raise ConfigurationError(
            "instance-unmapped",
            "Some instances of the live functions have no local code.\n  " + "\n  ".join(wrong),
            hint="Say it for each of them in terralive.toml; see docs/CONFIGURATION.md, [functions].",
        )
    return tuple(mapped)


def _local_code(config: Config, facts: FunctionFacts, address: str, name: str) -> LocalCode | str:
    """Find the code of a function or of one of its instances, or say why it is not known."""
    own = config.function_for(address, name)
    path = (own.path if own else None) or facts.path
    if path is None:
        return f"its local code is not known; say where it is: [functions.'{address}'] path = \"…\""
    handler = (own.handler if own else None) or facts.handler
    if _may_differ(facts) and own is config.function_for(facts.address, facts.function_name):
        return (
            "its handler may differ by instance (count, for_each); name each one's: "
            f'[functions.\'{facts.address}["KEY"]\'] handler = "…"'
        )
    command = own.command if own else ()
    runtime = (own.runtime if own else None) or facts.runtime
    family = _family(runtime)
    if not command and not runtime and facts.is_image:
        return (
            "an image does not tell what runs its handler; say it: "
            f'[functions.\'{address}\'] runtime = "python3.13", or command = ["…"]'
        )
    if not command and not family:
        known = f"runtime {runtime}" if runtime else "its runtime is not known"
        return (
            f"{known}: terralive itself runs Python, Node.js and provided.*; say what runs it: "
            f"[functions.'{address}'] command = [\"…\"] (docs/CONFIGURATION.md)"
        )
    if not handler and not command and family != "provided":
        return f"its handler is not known; name it: [functions.'{address}'] handler = \"…\""
    build = (
        Build(own.build, config.project) if own and own.build else None
    )  # what it makes may not be there yet
    if build is None and not path.is_dir():
        raise ConfigurationError(
            "function-path-missing",
            f"The code folder of {address} does not exist: {path}",
            hint=f"Correct it in terralive.toml: [functions.'{address}'] path = \"…\".",
        )
    path = path.resolve()
    code = LocalCode(
        address=address,
        path=path,
        handler=handler,
        runtime=runtime,
        python=_program(address, "python", str(own.python))
        if own and own.python
        else interpreters.python_of(config.project, path),
        node=_program(address, "node", str(own.node))
        if own and own.node
        else interpreters.default_node() or _NO_NODE,
        command=_command(address, command, (path, config.project)),
        watch=own.watch if own else (),
        max_workers=own.max_workers if own else FunctionConfig("*").max_workers,
        build=build,
    )
    if build is None:
        _require_code(code)
    return _node_missing(code) or code


def _may_differ(facts: FunctionFacts) -> bool:
    """Whether instances may have handlers of their own.

    Of an image that is left as it is, all have the image's.
    """
    told = facts.handler or (facts.is_image and "image_config" not in facts.attributes)
    return facts.instanced and not told


def _family(runtime: str) -> str:
    """Give how terralive runs a runtime by itself; "" where it does not."""
    return next(
        (family for family in ("python", "nodejs", "provided") if runtime.startswith(family)), ""
    )


def _program(address: str, setting: str, program: str, folders: Sequence[Path] = ()) -> Path:
    found = interpreters.find(program, folders)
    if found is not None and os.access(found, os.X_OK):
        return found
    where = (
        "on PATH"
        if "/" not in program
        else f"below {folders[0]} or {folders[1]}"
        if folders
        else "there"
    )
    raise ConfigurationError(
        "program-missing",
        f"{program}, the `{setting}` of {address}, is not {where}."
        if found is None
        else f"{found}, the `{setting}` of {address}, is not executable.",
        hint=f"Correct it in terralive.toml: [functions.'{address}'] {setting}."
        if found is None
        else f"chmod +x {found}",
    )


def _command(address: str, command: tuple[str, ...], folders: Sequence[Path]) -> tuple[str, ...]:
    """Find the program of a command line.

    A relative one below the code's folder, else below the project's.
    """
    if not command:
        return ()
    return (str(_program(address, "command", command[0], folders)), *command[1:])


def _node_missing(code: LocalCode) -> str:
    """Say that there is no Node.js for a function that needs one; "" where all is well."""
    if code.interpreter != code.node:
        return ""
    if code.node == _NO_NODE:
        return f"there is no Node.js on PATH to run it; install one, or name it: [functions.'{code.address}'] node = \"…\""
    version = interpreters.version_of(code.node)
    if version and int(version.partition(".")[0]) < interpreters.OLDEST_NODE:
        return f"{code.node} is Node.js {version}; terralive needs {interpreters.OLDEST_NODE} or newer to run it"
    return ""


def _require_code(code: LocalCode) -> None:
    """Check that what a worker starts is there.

    A typing error is better found before a deployment than after it.
    """
    if code.command:
        return
    match _family(code.runtime):
        case "python":
            _require_handler(code, "Python", _python_files(code), "**/*.py")
        case "nodejs":
            _require_handler(code, "JavaScript", _node_files(code), "**/*.*js")
        case "provided":
            _require_bootstrap(code)


def _python_files(code: LocalCode) -> list[Path]:
    relative = Path(code.handler.rpartition(".")[0].replace(".", "/"))
    return [code.path / relative.with_suffix(".py"), code.path / relative / "__init__.py"]


def _node_files(code: LocalCode) -> list[Path]:
    """Where Node's runtime looks: `folder/module.function`, and a package of that name."""
    folder, _, rest = code.handler.rpartition("/")
    stem = code.path / folder / rest.partition(".")[0]
    return [
        *(stem.with_name(stem.name + end) for end in (".js", ".mjs", ".cjs", "")),
        code.path / "node_modules" / stem.name,
    ]


def _require_bootstrap(code: LocalCode) -> None:
    program = code.path / "bootstrap"
    if os.access(program, os.X_OK) and program.is_file():
        return
    there = program.exists()
    raise ConfigurationError(
        "bootstrap-missing",
        f"{code.address} has a custom runtime ({code.runtime}), and {program} is not "
        + ("an executable file." if there else "there."),
        hint=f"chmod +x {program}"
        if there
        else f"Build it for this machine, or say what runs here: [functions.'{code.address}'] path or command.",
    )


def _require_handler(
    code: LocalCode, language: str, candidates: Sequence[Path], pattern: str
) -> None:
    if "." in code.handler and any(candidate.exists() for candidate in candidates):
        return
    files = (item.relative_to(code.path) for item in code.path.glob(pattern) if item.is_file())
    there = sorted(item.as_posix() for item in files if "node_modules" not in item.parts)[
        :_MAX_PATHS
    ]
    raise ConfigurationError(
        "handler-missing",
        f"The handler {code.handler!r} of {code.address} names no file below {code.path}"
        + (
            f" (there are: {', '.join(there)}, …)."
            if there
            else f" (there is no {language} file at all)."
        ),
        hint=f'Correct the handler, or the code\'s folder: [functions.\'{code.address}\'] handler = "…", path = "…".',
    )


def runtime_doubts(code: LocalCode) -> str:
    """Say that a function runs here by another interpreter than one would expect; "" for nothing."""
    program = code.interpreter
    if program is None:
        return ""
    bundled = (
        f"There is no Node.js on PATH: it runs by the one of terralive's extra `node`, {program}. "
        if interpreters.is_bundled(program)
        else ""
    )
    return f"{bundled}{interpreters.mismatch(code.runtime, program, interpreters.version_of(program))}".strip()


def doubts(code: LocalCode) -> str:
    """Say what is likely to fail at a Python handler's first invocation.

    "" for nothing. Never imports the code.
    """
    if code.build or code.command or _family(code.runtime) != "python":
        return ""
    name = code.handler.rpartition(".")[2]
    file = next((item for item in _python_files(code) if item.is_file()), _python_files(code)[0])
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        return f"{file}:{error.lineno}: {error.msg}. Every invocation gets this error until the file is corrected."
    except (OSError, ValueError) as error:
        return f"{file} cannot be read: {error}"
    if name in _top_level_names(tree):
        return ""
    return f"{file} does not seem to define {name!r}, which the handler {code.handler!r} names."


def _top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
