"""Functions whose source is in the repository and whose code is not built, or built elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument

API = "aws_lambda_function.api"
CODE = "data.archive_file.code"
NODE: dict[str, Json] = {"handler": "index.handler", "runtime": "nodejs22.x"}
PYTHON = {"handler": "app.handler", "runtime": "python3.13"}
CUSTOM = {"handler": "bootstrap", "runtime": "provided.al2023"}
TYPESCRIPT = "export const handler = async () => 1\n"
JAVASCRIPT = "exports.handler = async () => 1\n"
HANDLER = "def handler(event, context):\n    return 1\n"
GO = 'package main\n\nimport "github.com/aws/aws-lambda-go/lambda"\n'


def write(file: Path, content: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def scripts(folder: Path, **commands: str) -> None:
    write(folder / "package.json", json.dumps({"scripts": commands}))


def found(
    plan: PlanDocument, top: Path, address: str = API, project: str = ""
) -> FoundCode | CodeNotFound:
    evaluation = plan.evaluation(top / project)
    functions = planned_functions(evaluation)
    return find_code(evaluation, functions, top, project=top / project)[address]


def of_zip(zip_file: str = "code.zip", **values: Json) -> PlanDocument:
    plan = PlanDocument()
    plan.managed(API, {**NODE, "filename": zip_file, **values})
    return plan


def test_code_beside_the_folder_of_the_configuration_is_found(tmp_path: Path) -> None:
    write(tmp_path / "infra" / "main.tf")
    write(tmp_path / "services" / "orders" / "app.py", HANDLER)
    plan = of_zip("orders.zip", **PYTHON)
    code = found(plan, tmp_path, project="infra")
    folder = tmp_path / "services" / "orders"
    assert code == FoundCode(folder, "handler ../services/orders/app.py")


def test_commands_and_paths_are_those_of_the_projects_folder(tmp_path: Path) -> None:
    write(tmp_path / "infra" / "main.tf")
    write(tmp_path / "api" / "src" / "index.ts", TYPESCRIPT)
    scripts(tmp_path / "api", build="esbuild src/index.ts --bundle --outfile=dist/index.js")
    code = found(of_zip("api.zip"), tmp_path, project="infra")
    assert isinstance(code, CodeNotFound)
    assert code.settings == (
        'path = "../api/dist"',
        'build = "npm --prefix ../api run build"',
        'watch = ["../src/**"]',
    )


@pytest.mark.parametrize(
    ("script", "handler", "folder"),
    [
        ("esbuild src/index.ts --outdir=out", "index.handler", "api/out"),
        ("esbuild src/index.ts --outdir out", "out/index.handler", "api"),
        ("tsc --outDir build -p .", "index.handler", "api/build"),
        ("tsc -p .", "index.handler", "api/lib"),
        ("tsc -p . && zip -r api.zip lib", "lib/index.handler", "api"),
        ("node build.mjs", "dist/index.handler", "api"),
        ("node build.mjs", "index.handler", "…"),
    ],
)
def test_the_folder_that_a_script_writes_to_is_proposed(
    tmp_path: Path, script: str, handler: str, folder: str
) -> None:
    write(tmp_path / "api" / "src" / "index.ts", TYPESCRIPT)
    write(tmp_path / "api" / "tsconfig.json", '{"compilerOptions": {"outDir": "./lib"}} // why')
    scripts(tmp_path / "api", build=script)
    code = found(of_zip(handler=handler), tmp_path)
    assert isinstance(code, CodeNotFound)
    assert "TypeScript of its handler is not built: api/src/index.ts" in code.reason
    assert code.settings[0] == f'path = "{folder}"'
    assert code.settings[1] == 'build = "npm --prefix api run build"'


def test_each_package_of_a_monorepo_has_its_own_build(tmp_path: Path) -> None:
    plan = PlanDocument()
    for name in ("orders", "billing"):
        write(tmp_path / "packages" / name / "src" / "index.ts", TYPESCRIPT)
        scripts(tmp_path / "packages" / name, build="esbuild src/index.ts --outdir=dist")
        plan.managed(
            f"module.{name}.aws_lambda_function.this", {**NODE, "filename": f"out/{name}.zip"}
        )
    for name in ("orders", "billing"):
        code = found(plan, tmp_path, f"module.{name}.aws_lambda_function.this")
        assert isinstance(code, CodeNotFound)
        assert code.settings[:2] == (
            f'path = "packages/{name}/dist"',
            f'build = "npm --prefix packages/{name} run build"',
        )
        shown = f"TypeScript packages/{name}/src/index.ts"
        folder = tmp_path / "packages" / name
        assert code.typescript == FoundCode(folder, shown, "src/index.handler")


@pytest.mark.parametrize("is_archive", [True, False])
def test_the_only_typescript_of_a_handler_may_run_as_it_is(
    tmp_path: Path, *, is_archive: bool
) -> None:
    write(tmp_path / "infra" / "main.tf")
    write(tmp_path / "api" / "src" / "http" / "index.mts", TYPESCRIPT)
    write(tmp_path / "other" / "index.ts", "export const nothing = 1\n")
    scripts(tmp_path / "api", build="tsc --outDir dist")
    plan = of_zip("api.zip")
    if is_archive:
        plan.data(CODE, {"output_path": "api.zip", "source_dir": "../api/dist"})
    code = found(plan, tmp_path, project="infra")
    assert isinstance(code, CodeNotFound)
    assert code.settings[1] == 'build = "npm --prefix ../api run build"'
    shown = "TypeScript ../api/src/http/index.mts"
    assert code.typescript == FoundCode(tmp_path / "api", shown, "src/http/index.handler")


@pytest.mark.parametrize("suffix", ["ts", "cts"])
def test_an_archive_of_typescript_is_its_code(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "src" / f"index.{suffix}", TYPESCRIPT)
    write(tmp_path / "other" / "index.js", JAVASCRIPT)
    plan = of_zip()
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    assert found(plan, tmp_path) == FoundCode(tmp_path / "src", f"archive_file {CODE}")

    scripts(tmp_path / "src", build="tsc")
    code = found(plan, tmp_path)
    assert isinstance(code, CodeNotFound)
    assert code.typescript == FoundCode(tmp_path / "src", "TypeScript in src")


def test_typescript_that_several_zips_may_be_made_of_is_the_code_of_none(tmp_path: Path) -> None:
    write(tmp_path / "src" / "index.ts", TYPESCRIPT)
    plan = PlanDocument()
    for name in ("first", "second"):
        plan.managed(f"aws_lambda_function.{name}", {**NODE, "filename": f"{name}.zip"})
    code = found(plan, tmp_path, "aws_lambda_function.second")
    assert isinstance(code, CodeNotFound)
    assert code.typescript is None


def test_an_archive_of_a_folder_that_is_not_built_comes_with_the_build(tmp_path: Path) -> None:
    write(tmp_path / "src" / "upload.ts", TYPESCRIPT)
    scripts(tmp_path, build="node esbuild.mjs")
    plan = of_zip()
    plan.data(CODE, {"output_path": "code.zip", "source_file": "dist/upload/index.js"})
    assert found(plan, tmp_path) == CodeNotFound(
        "archive_file data.archive_file.code is made of dist/upload, which has no index.js yet: "
        "`npm run build` may build it",
        ('path = "dist/upload"', 'build = "npm run build"', 'watch = ["../../src/**"]'),
    )


@pytest.mark.parametrize(
    ("names", "command"),
    [
        (["build:all", "build:a"], "npm run build:all"),
        (["test", "build:lambda"], "npm run build:lambda"),
        (["build:a", "build:b"], None),
        (["test"], None),
    ],
)
def test_a_script_that_builds_has_many_names(
    tmp_path: Path, names: list[str], command: str | None
) -> None:
    write(tmp_path / "src" / "index.ts", TYPESCRIPT)
    scripts(tmp_path, **dict.fromkeys(names, "x"))
    code = found(of_zip(handler="dist/index.handler"), tmp_path)
    assert isinstance(code, CodeNotFound)
    expected = [f'build = "{command}"'] if command else []
    assert [line for line in code.settings if line.startswith("build")] == expected


def test_a_makefile_builds_as_well(tmp_path: Path) -> None:
    write(tmp_path / "src" / "index.ts", TYPESCRIPT)
    write(tmp_path / "Makefile", "clean:\n\trm -rf dist\n\nbuild-all: src\n\tesbuild\n")
    code = found(of_zip(handler="dist/index.handler"), tmp_path)
    assert isinstance(code, CodeNotFound)
    assert code.settings[1] == 'build = "make build-all"'


def test_javascript_that_a_bundler_would_bundle_runs_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "src" / "index.js", JAVASCRIPT)
    scripts(tmp_path, build="webpack")
    plan = of_zip()
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "dist"})
    assert found(plan, tmp_path) == FoundCode(tmp_path / "src", "handler src/index.js")


def test_the_javascript_of_another_project_is_not_taken_for_typescript(tmp_path: Path) -> None:
    write(tmp_path / "packages" / "api" / "src" / "index.ts", TYPESCRIPT)
    scripts(tmp_path / "packages" / "api", build="tsc --outDir dist")
    write(tmp_path / "tools" / "web" / "index.js", JAVASCRIPT)
    code = found(of_zip("artifact.zip"), tmp_path)
    assert isinstance(code, CodeNotFound)
    assert "several files may have its handler: tools/web/index.js" in code.reason


@pytest.mark.parametrize("is_archive", [True, False])
def test_a_go_program_that_is_not_built_comes_with_its_build(
    tmp_path: Path, *, is_archive: bool
) -> None:
    for name in ("enqueue", "notify"):
        write(tmp_path / "cmd" / name / "main.go", GO)
    write(tmp_path / "go.mod", "module acme\n")
    plan = of_zip("bin/notify.zip", function_name="acme-notify", **CUSTOM)
    if is_archive:
        source: dict[str, Json] = {"source_file": "bin/notify/bootstrap"}
        plan.data(CODE, {"output_path": "bin/notify.zip", **source})
    code = found(plan, tmp_path)
    assert isinstance(code, CodeNotFound)
    assert code.settings == (
        'path = "bin/notify"',
        'build = "go build -o bin/notify/bootstrap ./cmd/notify"',
        'watch = ["../../cmd/**"]',
    )


def test_a_rust_program_that_is_not_built_comes_with_its_build(tmp_path: Path) -> None:
    write(tmp_path / "Cargo.toml", '[package]\nname = "short"\n')
    write(tmp_path / "src" / "main.rs")
    code = found(of_zip("../target/lambda/short/bootstrap.zip", **CUSTOM), tmp_path, project="tf")
    assert isinstance(code, CodeNotFound)
    assert code.settings == (
        'path = "../target/lambda/short"',
        'build = "cd .. && cargo lambda build --release"',
        'watch = ["../../../src/**"]',
    )


@pytest.mark.parametrize(
    ("handler", "variable"),
    [
        ("datadog_lambda.handler.handler", "DD_LAMBDA_HANDLER"),
        ("newrelic_lambda_wrapper.handler", "NEW_RELIC_LAMBDA_HANDLER"),
        ("/opt/python/lumigo_tracer._handler", "LUMIGO_ORIGINAL_HANDLER"),
        (
            "sentry_sdk.integrations.init_serverless_sdk.sentry_lambda_handler",
            "SENTRY_INITIAL_HANDLER",
        ),
        ("instana.lambda_handler", "LAMBDA_HANDLER"),
        ("thundra.handler.wrapper", "THUNDRA_AGENT_LAMBDA_HANDLER"),
        ("epsagon.wrapper", "EPSAGON_HANDLER"),
        ("otel_wrapper.lambda_handler", "ORIG_HANDLER"),
        # Of a vendor that nobody here has heard of.
        ("tracewell.entry.run", "TRACEWELL_USER_HANDLER"),
    ],
)
def test_the_handler_that_a_vendors_layer_calls_runs_here(
    tmp_path: Path, handler: str, variable: str
) -> None:
    write(tmp_path / "src" / "app.py", HANDLER)
    plan = PlanDocument()
    environment: list[Json] = [{"variables": {variable: "app.handler"}}]
    values: dict[str, Json] = {"handler": handler, "runtime": "python3.13", "layers": ["arn"]}
    plan.managed(API, {**values, "filename": "code.zip", "environment": environment})
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert (code.path, code.handler) == (tmp_path / "src", "app.handler")
    assert code.note == "a layer's handler calls it on AWS, and does not run here"


@pytest.mark.parametrize(
    ("handler", "variable"),
    [
        ("lumigo-auto-instrument.handler", "LUMIGO_ORIGINAL_HANDLER"),
        ("/opt/nodejs/node_modules/datadog-lambda-js/handler.handler", "DD_LAMBDA_HANDLER"),
        ("instana-aws-lambda-auto-wrap-esm.handler", "LAMBDA_HANDLER"),
        ("tracewell/entry.run", "TRACEWELL_USER_HANDLER"),
    ],
)
def test_the_handler_that_a_vendors_node_layer_calls_runs_here(
    tmp_path: Path, handler: str, variable: str
) -> None:
    write(tmp_path / "src" / "index.js", "exports.main = async () => 1")
    plan = PlanDocument()
    environment: list[Json] = [{"variables": {variable: "index.main", "EVENT_HANDLER": "kitchen"}}]
    values: dict[str, Json] = {"handler": handler, "runtime": "nodejs22.x", "layers": ["arn"]}
    plan.managed(API, {**values, "filename": "code.zip", "environment": environment})
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert (code.path, code.handler) == (tmp_path / "src", "index.main")


def test_a_variable_never_takes_the_place_of_a_handler_that_is_here(tmp_path: Path) -> None:
    for name in ("app", "other"):
        write(tmp_path / "src" / f"{name}.py", HANDLER)
    plan = PlanDocument()
    environment: list[Json] = [{"variables": {"ERROR_HANDLER": "other.handler"}}]
    values: dict[str, Json] = {**PYTHON, "filename": "code.zip", "layers": ["arn"]}
    plan.managed(API, {**values, "environment": environment})
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    assert found(plan, tmp_path) == FoundCode(tmp_path / "src", f"archive_file {CODE}")


def test_a_file_that_an_apply_writes_is_the_file_with_its_content(tmp_path: Path) -> None:
    write(tmp_path / "lambda" / "app.py", HANDLER)
    plan = of_zip(**PYTHON)
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "rendered"})
    plan.managed("local_file.app", {"filename": "rendered/app.py", "content": HANDLER})
    code = found(plan, tmp_path)
    assert code == FoundCode(tmp_path / "lambda", f"archive_file {CODE}")


def test_a_template_that_an_apply_writes_is_no_code(tmp_path: Path) -> None:
    write(tmp_path / "lambda" / "app.py", HANDLER)
    plan = of_zip(**PYTHON)
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "rendered"})
    plan.managed("local_file.app", {"filename": "rendered/app.py", "content": "HOST = 'x'\n"})
    assert found(plan, tmp_path) == CodeNotFound(
        f"the configuration itself makes app.py of archive_file {CODE} (a text or a template), and "
        "no file in the repository has the same text"
    )


def test_a_folder_is_named_like_a_function_whatever_general_words_it_has(tmp_path: Path) -> None:
    plan = PlanDocument()
    for name in ("sorter", "mover"):
        write(tmp_path / f"{name}_src" / "app.py", HANDLER)
        plan.managed(f"aws_lambda_function.{name}", {**PYTHON, "filename": f"{name}.zip"})
    code = found(plan, tmp_path, "aws_lambda_function.mover")
    assert isinstance(code, FoundCode)
    assert code.path == tmp_path / "mover_src"


@pytest.mark.parametrize("real", ["src/app.py", None])
def test_a_placeholder_in_the_repository_is_code_only_where_there_is_no_other(
    tmp_path: Path, real: str | None
) -> None:
    write(tmp_path / "infra" / "placeholder" / "app.py", f"# placeholder\n{HANDLER}")
    if real is not None:
        write(tmp_path / real, HANDLER)
    plan = of_zip(**PYTHON)
    plan.data(CODE, {"output_path": "code.zip", "source_file": "infra/placeholder/app.py"})
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert code.path == tmp_path / ("src" if real else "infra/placeholder")


def test_code_that_only_speaks_of_placeholders_is_what_the_archive_says(tmp_path: Path) -> None:
    write(tmp_path / "src" / "app.py", f"# fills a placeholder\n{HANDLER}")
    write(tmp_path / "other" / "app.py", HANDLER)
    plan = of_zip(**PYTHON)
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    assert found(plan, tmp_path) == FoundCode(tmp_path / "src", f"archive_file {CODE}")


@pytest.mark.parametrize(
    ("runtime", "file", "content"),
    [
        ("nodejs22.x", "web/index.js", "import React from 'react'\n// the click handler\n"),
        ("nodejs22.x", "web/index.js", "element.handler = () => render()\n"),
        ("python3.13", "tool/index.py", "import logging\nhandler = logging.StreamHandler()\n"),
        ("python3.13", "tool/index.py", "# The handler is elsewhere.\nprint('handler')\n"),
    ],
)
def test_a_file_that_only_speaks_of_a_handler_is_no_code(
    tmp_path: Path, runtime: str, file: str, content: str
) -> None:
    write(tmp_path / file, content)
    code = found(of_zip(runtime=runtime), tmp_path)
    assert isinstance(code, CodeNotFound)


@pytest.mark.parametrize(
    ("runtime", "content"),
    [
        ("nodejs22.x", "exports.handler = async () => 1\n"),
        ("nodejs22.x", "export const handler = async () => 1\n"),
        ("nodejs22.x", "const handler = async () => 1\nmodule.exports = { handler }\n"),
        ("nodejs22.x", "async function run() {}\nexport { run as handler }\n"),
        ("nodejs22.x", "__export(x, { handler: () => h });\nmodule.exports = to(x);\n"),
        ("nodejs22.x", "module.exports = require('./app')\n"),
        ("python3.13", "async def handler(event, context):\n    return 1\n"),
        ("python3.13", "handler = Mangum(app)\n"),
        ("python3.13", "handler: Handler = Mangum(app)\n"),
        ("python3.13", "from app import handler\n"),
        ("python3.13", "from app import (\n    other,\n    run as handler,\n)\n"),
        ("python3.13", "from app import *\n"),
    ],
)
def test_a_file_that_defines_the_handlers_function_is_its_code(
    tmp_path: Path, runtime: str, content: str
) -> None:
    name = "index.py"
    if runtime.startswith("nodejs"):
        name = "index.js"
    write(tmp_path / "src" / name, content)
    code = found(of_zip(runtime=runtime), tmp_path)
    assert code == FoundCode(tmp_path / "src", f"handler src/{name}")


def test_one_build_that_several_functions_wait_for_is_the_code_of_none(tmp_path: Path) -> None:
    plan = PlanDocument()
    write(tmp_path / "first" / "app.py", HANDLER)
    for name in ("first", "second"):
        values: dict[str, Json] = {**PYTHON, "filename": f"{name}.zip", "function_name": "z"}
        plan.managed(f"aws_lambda_function.{name}", values, depends_on=["null_resource.build"])
    plan.managed("null_resource.build", {"triggers": {"folder": "first"}})
    code = found(plan, tmp_path, "aws_lambda_function.second")
    reason = "is the code of only one of several zips, and nothing tells which"
    assert code == CodeNotFound(f"folder of null_resource.build {reason}")
