"""Local code of functions and instances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.tables import FunctionSettings, TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.functions.code_checks import handler_warning, interpreter_warning
from terralive_cli.functions.interpreters import handler_interpreter, mismatch
from terralive_cli.functions.mapping import (
    Mapped,
    instances,
    map_functions,
)
from terralive_cli.functions.typescript import notes
from terralive_cli.layers.local import LocalLayers
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import Build, LayerPart, LocalCode, LocalFunction
from terralive_workers.node import strips_types
from terralive_workers.typescript import TypeScript, typescript_of

FN = "aws_lambda_function.fn"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name in ("api", "jobs"):
        (tmp_path / f"{name}.py").write_text("def handler(event, context): ...\n")
    return tmp_path


def facts(code: Path, handler: str | None = None) -> DeclaredFunction:
    return DeclaredFunction(
        FN,
        "fn",
        handler=handler,
        runtime="python3.13",
        path=code,
        repeated="for_each",
    )


def found_instances(
    own: Config,
    function: DeclaredFunction,
    names: dict[str, str],
    reserved: dict[str, int | None] | None = None,
) -> tuple[LocalFunction, ...]:
    mapped = map_functions(own, [function])
    limits = reserved or {}
    deployed = {
        address: DeployedFunction(
            name, f"arn:aws:lambda:eu-west-1:1:function:{name}", limits.get(address)
        )
        for address, name in names.items()
    }
    return instances(own, mapped, [function], deployed)


def config(code: Path, **handlers: str) -> Config:
    own = tuple(FunctionSettings(pattern, handler=handler) for pattern, handler in handlers.items())
    return Config(code, "orders", "dev", "ana", TerraformConfig(code), functions=own)


@pytest.mark.parametrize(("reserved", "runs_at_once"), [(None, 16), (3, 3), (50, 16), (0, 1)])
def test_no_more_run_at_once_than_lambda_reserves(
    code: Path, reserved: int | None, runs_at_once: int
) -> None:
    one = DeclaredFunction(FN, "fn", handler="api.handler", runtime="python3.13", path=code)
    (found,) = found_instances(config(code), one, {FN: "orders"}, {FN: reserved})
    assert found.max_workers == runs_at_once


def test_each_instance_runs_the_handler_that_the_file_gives_it(code: Path) -> None:
    own = config(code, **{f'{FN}["api"]': "api.handler", f'{FN}["jobs"]': "jobs.handler"})
    mapped = map_functions(own, [facts(code)])
    assert mapped.unmapped == {}
    assert set(mapped.code) == {f'{FN}["api"]', f'{FN}["jobs"]'}
    names = {
        f'{FN}["api"]': "orders-api",
        f'{FN}["jobs"]': "orders-jobs",
        "aws_lambda_function.other": "other",
    }
    assert [(item.name, item.handler) for item in found_instances(own, facts(code), names)] == [
        ("orders-api", "api.handler"),
        ("orders-jobs", "jobs.handler"),
    ]


def test_a_deployed_name_gives_one_instance_another_handler(code: Path) -> None:
    own = config(code, **{"orders-jobs": "jobs.handler"})
    names = {f'{FN}["api"]': "orders-api", f'{FN}["jobs"]': "orders-jobs"}
    found = found_instances(own, facts(code, "api.handler"), names)
    assert [item.handler for item in found] == ["api.handler", "jobs.handler"]


def test_one_handler_is_never_taken_for_all_instances_where_they_may_differ(code: Path) -> None:
    for own in (
        config(code),
        config(code, **{FN: "api.handler"}),
        config(code, **{"*": "api.handler"}),
    ):
        mapped = map_functions(own, [facts(code)])
        assert mapped.code == {}
        assert "differ by instance" in mapped.unmapped[FN].text
    every = config(code, **{f"{FN}[*]": "api.handler"})
    assert [item.handler for item in found_instances(every, facts(code), {f'{FN}["x"]': "x"})] == [
        "api.handler"
    ]


def test_an_instance_that_nobody_mapped_is_told_before_anything_is_applied(code: Path) -> None:
    own = config(code, **{f'{FN}["api"]': "api.handler"})
    assert map_functions(own, [facts(code)]).unmapped == {}
    with pytest.raises(ConfigurationError, match="jobs") as caught:
        found_instances(own, facts(code), {f'{FN}["api"]': "orders-api", f'{FN}["jobs"]': ""})
    assert caught.value.reference == "instance-unmapped"


def test_a_literal_handler_serves_all_instances_also_of_a_repeated_module(code: Path) -> None:
    address = f"module.a.{FN}"
    one = replace(facts(code, "api.handler"), address=address, repeated=None, module_repeated=True)
    assert list(map_functions(config(code), [one]).code) == [address]
    assert [
        item.address for item in found_instances(config(code), one, {f'module.a["x.y"].{FN}': "n"})
    ] == [f'module.a["x.y"].{FN}']


def test_a_typing_error_in_an_instances_settings_is_told_first(code: Path) -> None:
    mapped = map_functions(
        config(code, **{f'{FN}["api"]': "apo.handler"}), [facts(code, "api.handler")]
    )
    assert mapped.functions == {}
    assert "names no file" in mapped.unmapped[FN].text
    assert mapped.errors[FN].reference == "handler-missing"


# Instances that a plan has shown


def planned(code: Path, *handlers: str | None) -> DeclaredFunction:
    """A function whose instances have these handlers."""
    instances = tuple(
        PlannedFunction(
            f"{FN}[{index}]", "", name=f"fn-{index}", handler=handler, runtime="python3.13"
        )
        for index, handler in enumerate(handlers)
    )
    return replace(facts(code), repeated="count", instances=instances)


def test_every_instance_has_the_handler_and_the_code_that_terraform_computes(code: Path) -> None:
    (code / "other").mkdir()
    (code / "other" / "jobs.py").write_text("def handler(event, context): ...\n")
    located = {
        f"{FN}[0]": FoundCode(code, "archive_file data.archive_file.api"),
        f"{FN}[1]": FoundCode(code / "other", "archive_file data.archive_file.jobs"),
    }
    function = planned(code, "api.handler", "jobs.handler")
    mapped = map_functions(config(code), [function], located)
    assert {at: (item.path, item.handler) for at, item in mapped.code.items()} == {
        f"{FN}[0]": (code, "api.handler"),
        f"{FN}[1]": (code / "other", "jobs.handler"),
    }
    assert mapped.found_by[f"{FN}[1]"] == "archive_file data.archive_file.jobs"
    deployed = {
        f"{FN}[0]": DeployedFunction("fn-0", "arn:aws:lambda:eu-west-1:1:function:fn-0"),
        f"{FN}[1]": DeployedFunction("fn-1", "arn:aws:lambda:eu-west-1:1:function:fn-1"),
    }
    found = instances(config(code), mapped, [function], deployed)
    assert [(item.name, item.handler) for item in found] == [
        ("fn-0", "api.handler"),
        ("fn-1", "jobs.handler"),
    ]


def test_terralive_toml_goes_before_what_a_plan_has_found(code: Path) -> None:
    located = {f"{FN}[0]": FoundCode(code / "elsewhere", "content of api.zip")}
    own = Config(
        code,
        "orders",
        "dev",
        "ana",
        TerraformConfig(code),
        functions=(FunctionSettings(FN, path=code),),
    )
    mapped = map_functions(own, [planned(code, "api.handler")], located)
    assert mapped.code[f"{FN}[0]"].path == code
    assert mapped.found_by == {f"{FN}[0]": "terralive.toml"}


def test_what_is_set_for_local_runs_is_named_and_its_values_are_not_shown(code: Path) -> None:
    (code / "shared").mkdir()
    layer = LayerPart(code / "layer")
    settings = FunctionSettings(
        FN, env={"API_URL": "http://localhost:8000", "TOKEN": "s3cret"}, roots=(code / "shared",)
    )
    own = Config(code, "orders", "dev", "ana", TerraformConfig(code), functions=(settings,))
    located = {f"{FN}[0]": FoundCode(code, "archive_file data.archive_file.api", note="a note")}
    layers = {f"{FN}[0]": LocalLayers((layer,), (layer.local,))}
    mapped = map_functions(own, [planned(code, "api.handler")], located, layers)
    found = mapped.code[f"{FN}[0]"]
    assert dict(found.variables) == {"API_URL": "http://localhost:8000", "TOKEN": "s3cret"}
    assert found.roots == (code / "shared",)
    assert found.layers == (layer,)
    assert found.also_watched == (layer.local, code / "shared")
    assert mapped.notes == {
        f"{FN}[0]": "terralive.toml sets for local runs: API_URL, TOKEN. A note."
    }
    assert "s3cret" not in repr((own, found))


@pytest.mark.parametrize("handler", ["run.sh", "bin/start.sh"])
def test_a_program_that_lambda_web_adapter_starts_is_named(code: Path, handler: str) -> None:
    located = {f"{FN}[0]": FoundCode(code, "archive_file data.archive_file.api")}
    names = frozenset({"AWS_LAMBDA_EXEC_WRAPPER"})
    function = replace(planned(code, handler), environment_names=names)
    mapped = map_functions(config(code), [function], located)
    reason = mapped.unmapped[FN]
    assert "Lambda Web Adapter" in reason.reason
    assert reason.lines == (f"[functions.'{FN}[0]']", 'command = ["…"]')


def test_a_function_stays_as_it_is_where_one_of_its_instances_has_no_code(code: Path) -> None:
    function = replace(planned(code, "api.handler", "missing.handler"), path=code)
    mapped = map_functions(config(code), [function])
    assert mapped.functions == {}
    assert f"{FN}[1]" in mapped.unmapped[FN].text
    assert "names no file" in mapped.unmapped[FN].text


def test_the_reason_says_why_no_code_was_found_and_what_to_set(code: Path) -> None:
    function = replace(planned(code, "api.handler"), path=None)
    located = {f"{FN}[0]": CodeNotFound("api.py is in 2 folders: a, b")}
    reason = map_functions(config(code), [function], located).unmapped[FN].text
    assert reason.startswith("api.py is in 2 folders: a, b. ")
    assert f"[functions.'{FN}[0]']" in reason


BUILD = ('path = "dist"', 'build = "npm run build"', 'watch = ["../src/**"]')
TABLE = "\n".join(["", f"[functions.'{FN}']", *BUILD])


def test_the_lines_that_make_a_function_live_can_be_copied(code: Path) -> None:
    function = planned(code, "api.handler", "jobs.handler")
    place = CodeNotFound("it is not built: `npm run build` may build it", BUILD)
    located = {f"{FN}[0]": place, f"{FN}[1]": place}
    not_live = map_functions(config(code), [function], located).unmapped[FN]
    assert not_live.text == f"{place.reason}. Add to terralive.toml:{TABLE}"

    (code / "terralive.toml").write_text("\n".join(not_live.lines))
    own = load(project=code, flags={}, environ={}, user="ana")
    mapped = map_functions(own, [function], located)
    for key, handler in ((0, "api.handler"), (1, "jobs.handler")):
        item = mapped.code[f"{FN}[{key}]"]
        assert (item.path, item.handler, item.watch) == (code / "dist", handler, ("../src/**",))
        assert item.build == Build("npm run build", code)


def test_lines_that_differ_by_instance_name_the_instance(code: Path) -> None:
    function = planned(code, "api.handler", "jobs.handler")
    located = {
        f"{FN}[0]": CodeNotFound("it is not built", BUILD),
        f"{FN}[1]": CodeNotFound("it is not built", BUILD[:1]),
    }
    reason = map_functions(config(code), [function], located).unmapped[FN].text
    assert reason.splitlines() == [
        f"{FN}[0]: it is not built. Add to terralive.toml:",
        f"[functions.'{FN}[0]']",
        *BUILD,
        f"[functions.'{FN}[1]']",
        BUILD[0],
    ]


def test_how_code_is_built_again_is_said_once_for_all_instances(code: Path) -> None:
    function = planned(code, "api.handler", "jobs.handler")
    place = FoundCode(code, "archive_file x", note="`make` builds it", settings=BUILD[1:])
    located = {f"{FN}[0]": place, f"{FN}[1]": place}
    mapped = map_functions(config(code), [function], located)
    lines = "\n".join(["", f"[functions.'{FN}']", *BUILD[1:]])
    text = f"`make` builds it. For live edits: Add to terralive.toml:{lines}"
    assert mapped.notes == {f"{FN}[0]": text.replace(": Add", ", add")}


def test_an_archive_that_the_plan_rejects_is_not_taken_from_the_files(code: Path) -> None:
    function = replace(planned(code, "api.handler"), path=code)
    located = {f"{FN}[0]": CodeNotFound("several files may have its handler")}
    mapped = map_functions(config(code), [function], located)
    assert mapped.unmapped[FN].text.startswith("several files may have its handler. ")
    noted = replace(function, path_is_noted=True)
    mapped = map_functions(config(code), [noted], located)
    assert mapped.code[f"{FN}[0]"].path == code
    assert mapped.found_by[f"{FN}[0]"] == "the Function construct"


def test_an_archive_that_terraform_cannot_make_yet_is_named_with_its_build(code: Path) -> None:
    (code / "package.json").write_text('{"scripts": {"build:all": "nx run-many"}}')
    function = DeclaredFunction(FN, "fn", "main.handler", "nodejs22.x", code / "dist" / "orders")
    assert map_functions(config(code), [function]).unmapped[FN].text == (
        "its archive is made of dist/orders, which does not exist: `npm run build:all` may build it"
        f". Add to terralive.toml:\n[functions.'{FN}']\n"
        'path = "dist/orders"\nbuild = "npm run build:all"\nwatch = ["../../src/**"]'
    )


def test_the_runtime_comes_before_an_archive_that_is_not_built(code: Path) -> None:
    function = DeclaredFunction(FN, "fn", "Api::Run", "dotnet8", code / "publish")
    reason = map_functions(config(code), [function]).unmapped[FN].text
    assert reason.startswith(
        "terralive itself runs Python, Node.js and provided.*, and not dotnet8"
    )


def test_a_runtime_that_nothing_here_runs_is_the_reason_whatever_its_code_is(code: Path) -> None:
    function = planned(code, "com.acme.Orders::handle")
    assert function.instances is not None
    instance = replace(function.instances[0], runtime="java21")
    function = replace(function, path=None, instances=(instance,))
    located = {f"{FN}[0]": CodeNotFound("the plan does not name its source")}
    assert map_functions(config(code), [function], located).unmapped[FN] == NotLive(
        FN,
        "terralive itself runs Python, Node.js and provided.*, and not java21; set "
        'command = ["…"] to a program that runs its handler',
        lines=(f"[functions.'{FN}[0]']", 'path = "…"', 'command = ["…"]'),
    )


def test_one_function_never_stops_the_others(code: Path) -> None:
    good = planned(code, "api.handler")
    bad = replace(good, address="aws_lambda_function.bad", instances=None, handler="no.handler")
    mapped = map_functions(config(code), [replace(bad, repeated=None), good])
    assert list(mapped.functions) == [FN]
    assert mapped.errors["aws_lambda_function.bad"].reference == "handler-missing"


def test_settings_by_a_name_that_only_an_apply_tells_are_used_after_it(code: Path) -> None:
    unnamed = planned(code, "api.handler")
    assert unnamed.instances is not None
    instance = replace(unnamed.instances[0], name=None)
    function = replace(unnamed, instances=(instance,))
    own = Config(
        code,
        "orders",
        "dev",
        "ana",
        TerraformConfig(code),
        functions=(FunctionSettings("fn-abc", handler="jobs.handler"),),
    )
    mapped = map_functions(own, [function], {f"{FN}[0]": FoundCode(code, "handler api.py")})
    assert mapped.code[f"{FN}[0]"].handler == "api.handler"
    deployed = {f"{FN}[0]": DeployedFunction("fn-abc", "arn:aws:lambda:eu-west-1:1:function:fn")}
    (found,) = instances(own, mapped, [function], deployed)
    assert found.handler == "jobs.handler"


# Runtimes


def mapped(
    folder: Path, runtime: str, handler: str = "app.handler", **own: object
) -> LocalCode | str | ConfigurationError:
    """The local code of one function, or why it has none."""
    function = FunctionSettings(FN, path=folder, **own)  # type: ignore[arg-type] # whatever a test says
    settings = Config(
        folder.parent, "orders", "dev", "ana", TerraformConfig(folder), functions=(function,)
    )
    found = map_functions(settings, [DeclaredFunction(FN, "fn", handler=handler, runtime=runtime)])
    return found.code.get(FN) or found.errors.get(FN) or found.unmapped[FN].text


def refused(
    folder: Path, runtime: str, handler: str = "app.handler", **own: object
) -> tuple[str, str]:
    """The reference and the message of the error that a function gives."""
    error = mapped(folder, runtime, handler, **own)
    assert isinstance(error, ConfigurationError)
    assert FN in error.message
    return error.reference, error.message


def executable(path: Path, version: str = "20.11.1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncase $* in *--version) echo v{version};; esac\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("file", ["app.js", "app.mjs", "app.cjs", "node_modules/app/index.js"])
def test_a_node_function_is_found_in_every_file_that_lambda_takes(
    tmp_path: Path, file: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("")
    code = mapped(
        tmp_path, "nodejs20.x", "app.inner.handler", node=executable(tmp_path / "bin" / "node")
    )
    assert isinstance(code, LocalCode)
    assert handler_interpreter(code) == tmp_path / "bin" / "node"


def test_a_node_handler_without_a_file_is_told_with_the_files_that_are_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "index.mjs").write_text("")
    (tmp_path / "node_modules" / "x").mkdir(parents=True)
    (tmp_path / "node_modules" / "x" / "x.js").write_text("")
    reference, message = refused(tmp_path, "nodejs20.x", node=executable(tmp_path / "node"))
    assert reference == "handler-missing"
    assert "index.mjs" in message
    assert "node_modules" not in message


def test_typescript_that_nothing_runs_is_told_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "app.ts").write_text("")
    (tmp_path / "other.js").write_text("")
    text = mapped(tmp_path, "nodejs22.x", node=executable(tmp_path / "node"))
    assert isinstance(text, str)
    assert text.startswith("app.ts is TypeScript, nothing has built it, Node.js 20.11.1 does not")
    assert "`npm i -D esbuild`" in text
    assert 'build = "…"' in text


def with_esbuild(folder: Path) -> Path:
    package = folder / "node_modules" / "esbuild"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "0.25.1"}')
    return package


@pytest.mark.parametrize("suffix", ["ts", "mts", "cts", "tsx"])
@pytest.mark.parametrize("above", [0, 1])
def test_typescript_runs_by_esbuild_of_the_nearest_packages(
    tmp_path: Path, suffix: str, above: int
) -> None:
    folder = tmp_path / "api" / "code"
    folder.mkdir(parents=True)
    (folder / f"app.{suffix}").write_text("")
    package = with_esbuild((folder, tmp_path)[above])
    code = mapped(folder, "nodejs22.x", node=executable(tmp_path / "node"))
    assert isinstance(code, LocalCode)
    assert typescript_of(code) == TypeScript(folder / f"app.{suffix}", package)
    assert notes({FN: code}) == {
        FN: f"esbuild 0.25.1 makes JavaScript of app.{suffix} in memory: no build is needed."
    }
    (folder / "app.js").write_text("")
    assert typescript_of(code) is None  # what is built runs


@pytest.mark.parametrize(
    ("version", "strips"),
    [
        ("20.20.2", False),
        ("22.17.1", False),
        ("22.18.0", True),
        ("23.5.0", False),
        ("23.6.0", True),
        ("24.0.0", True),
        ("26.1.0", True),
        (None, False),
    ],
)
def test_node_removes_types_from_its_releases_without_a_flag_on(
    version: str | None, *, strips: bool
) -> None:
    assert strips_types(version) is strips


@pytest.mark.parametrize(
    ("settings", "by_node"),
    [
        ("{}", False),
        ('{"compilerOptions": {"erasableSyntaxOnly": true}}', False),
        ('{"erasableSyntaxOnly": true, "allowImportingTsExtensions": true}', True),
        ('{"erasableSyntaxOnly":true, "rewriteRelativeImportExtensions": true}', True),
        ('{"erasableSyntaxOnly": false, "allowImportingTsExtensions": true}', False),
    ],
)
def test_node_itself_runs_the_sources_that_tsconfig_makes_for_it(
    tmp_path: Path, settings: str, *, by_node: bool
) -> None:
    (tmp_path / "app.ts").write_text("")
    (tmp_path / "tsconfig.json").write_text(settings)
    with_esbuild(tmp_path)
    code = mapped(tmp_path, "nodejs24.x", node=executable(tmp_path / "node", "24.1.0"))
    assert isinstance(code, LocalCode)
    found = typescript_of(code)
    assert found is not None
    assert found.by_node is by_node
    assert ("Node.js 24.1.0 runs app.ts itself" in notes({FN: code})[FN]) is by_node


def test_typescript_of_a_build_that_is_not_there_runs_where_something_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "node")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "index.ts").write_text("")
    source = FoundCode(project, "TypeScript src/index.ts", "src/index.handler")
    place = CodeNotFound("dist does not exist", ('path = "dist"', 'build = "make"'), source)
    declared = DeclaredFunction(FN, "fn", handler="index.handler", runtime="nodejs22.x")
    planned = PlannedFunction(FN, "fn", runtime="nodejs22.x", handler="index.handler")
    function = replace(declared, instances=(planned,))
    own = Config(project, "orders", "dev", "ana", TerraformConfig(project))

    text = map_functions(own, [function], {FN: place}).unmapped[FN].text
    assert text.startswith("dist does not exist. With esbuild, terralive runs the TypeScript as it")
    assert 'build = "make"' in text

    with_esbuild(project)
    found = map_functions(own, [function], {FN: place})
    assert (found.code[FN].path, found.code[FN].handler) == (project, "src/index.handler")
    assert found.found_by == {FN: "TypeScript src/index.ts"}
    assert found.notes[FN].startswith("esbuild 0.25.1 makes JavaScript of index.ts")


def test_what_a_build_makes_need_not_be_there_before_it(tmp_path: Path) -> None:
    for runtime in ("nodejs20.x", "python3.12", "provided.al2023"):
        own = mapped(tmp_path / "dist", runtime, node=executable(tmp_path / "node"), build="make")
        assert isinstance(own, LocalCode)
        assert own.deployed_as("fn", FN, arn="arn").build == Build("make", tmp_path)
        assert handler_warning(own) is None


def test_a_custom_runtime_needs_an_executable_bootstrap(tmp_path: Path) -> None:
    assert refused(tmp_path, "provided.al2023")[0] == "bootstrap-missing"
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
    reference, message = refused(tmp_path, "provided.al2023", "")
    assert reference == "bootstrap-missing"
    assert "not an executable file" in message
    (tmp_path / "bootstrap").chmod(0o755)
    code = mapped(tmp_path, "provided.al2023", "")
    assert isinstance(code, LocalCode)
    assert handler_interpreter(code) is None


@pytest.mark.parametrize("handler", ["bootstrap", "main", "", "."])
def test_a_handler_without_a_module_needs_no_python_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: str
) -> None:
    """Programs in Go and Rust have the handler `bootstrap`, and terralive may be anywhere."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
    (tmp_path / "bootstrap").chmod(0o755)
    assert isinstance(mapped(tmp_path, "provided.al2023", handler), LocalCode)
    assert not isinstance(mapped(tmp_path, "python3.12", handler), LocalCode)


@pytest.mark.parametrize("runtime", ["java21", "dotnet8", "ruby3.3", ""])
def test_another_runtime_is_told_what_would_make_it_live(tmp_path: Path, runtime: str) -> None:
    reason = mapped(tmp_path, runtime)
    assert isinstance(reason, str)
    assert "command = " in reason
    assert (runtime or "not known") in reason
    code = mapped(tmp_path, runtime, "", command=("sh", "run.sh"))
    assert isinstance(code, LocalCode)
    assert Path(code.command[0]).is_absolute()
    assert code.command[1:] == ("run.sh",)


def test_an_image_is_run_by_the_runtime_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    image = DeclaredFunction(FN, "fn", handler="app.handler", path=tmp_path, package_type="Image")

    def found(*own: FunctionSettings) -> Mapped:
        config = Config(tmp_path, "orders", "dev", "ana", TerraformConfig(tmp_path), functions=own)
        return map_functions(config, [image])

    assert "an image does not contain the runtime" in found().unmapped[FN].text
    code = found(FunctionSettings(FN, runtime="python3.13")).code[FN]
    assert (code.runtime, code.handler) == ("python3.13", "app.handler")


def test_all_instances_of_an_image_that_is_left_as_it_is_have_its_handler(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    image = DeclaredFunction(FN, "fn", path=tmp_path, package_type="Image", repeated="count")
    own = FunctionSettings(FN, handler="app.handler", runtime="python3.13")
    config = Config(tmp_path, "orders", "dev", "ana", TerraformConfig(tmp_path), functions=(own,))
    assert FN in map_functions(config, [image]).code
    told = map_functions(config, [replace(image, attributes=frozenset({"image_config"}))]).unmapped
    assert "may differ by instance" in told[FN].text


def test_a_commands_program_is_found_in_the_functions_folder_then_in_the_projects(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    for place in (tmp_path, folder):
        program = executable(place / "bin" / "run")
        code = mapped(folder, "java21", command=("bin/run", "bin/run"))
        assert isinstance(code, LocalCode)
        assert code.command == (str(program), "bin/run")


def test_a_program_that_is_missing_or_cannot_be_run_is_told_by_function(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    assert "not below" in refused(tmp_path, "java21", command=("bin/run",))[1]
    assert "on PATH" in refused(tmp_path, "java21", command=("no-such-program-here",))[1]
    assert "not there" in refused(tmp_path, "python3.12", python=tmp_path / "bin" / "python")[1]
    (tmp_path / "run").write_text("")
    assert "not executable" in refused(tmp_path, "java21", command=("./run",))[1]


def test_a_node_that_is_too_old_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("")
    old = executable(tmp_path / "node")
    old.write_text("#!/bin/sh\necho v16.20.2\n")
    assert "16.20.2" in str(mapped(tmp_path, "nodejs20.x", node=old))


@pytest.mark.parametrize(
    ("runtime", "version", "differs"),
    [
        ("python3.12", "3.12.4", False),
        ("python3.1", "3.12.4", True),
        ("python3.13", "3.11.9", True),
        ("nodejs20.x", "20.11.1", False),
        ("nodejs20.x", "22.1.0", True),
        ("nodejs2.x", "22.1.0", True),
        ("provided.al2023", "22.1.0", False),
        ("java21", "", False),
        ("python3.12", "", False),
    ],
)
def test_another_version_than_the_deployed_one_is_told_with_both(
    runtime: str, version: str, *, differs: bool
) -> None:
    said = mismatch(runtime, Path("/bin/program"), version)
    assert bool(said) is differs
    assert said is None or (runtime in said and version in said)


def test_a_function_that_runs_by_another_node_than_deployed_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("")
    code = mapped(tmp_path, "nodejs22.x", node=executable(tmp_path / "node"))
    assert isinstance(code, LocalCode)
    assert "20.11.1" in (interpreter_warning(code) or "")
    assert interpreter_warning(replace(code, runtime="nodejs20.x")) is None
    assert interpreter_warning(replace(code, command=("java",))) is None
