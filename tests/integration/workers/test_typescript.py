"""Handlers in TypeScript run without a build, with the errors that Lambda would give.

Public reports: https://github.com/aws/aws-toolkit-vscode/issues/3210 and
https://github.com/aws/aws-sam-cli/issues/3830 (TypeScript without a build step of the user's),
https://github.com/floydspace/serverless-esbuild/issues/109 (traces with TypeScript's lines).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_relay.pool.pool import Pool
from terralive_terraform.runs.node import from_pypi
from terralive_testing.drivers.workers import (
    ARN,
    Recorder,
    Transcript,
    document,
    invocation,
    save,
    transcript,
)
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.node import strips_types, switched_off, version_of
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.typescript import obstacle, typescript_of

NODE = Path(shutil.which("node") or "node")
# From tests/contract/workers/node/package-lock.json, as `make` installs it.
PACKAGES = Path(sys.prefix) / "aws-lambda-ric" / "node_modules"
CANDIDATES = [NODE, Path(from_pypi() or "node")]

needs_esbuild = pytest.mark.skipif(
    not (PACKAGES / "esbuild").is_dir() or not NODE.is_absolute(),
    reason="esbuild is not installed (no npm when .venv was set up)",
)

ORDERS = {
    "tsconfig.json": '{"compilerOptions": {"baseUrl": ".", "paths": {"@lib/*": ["src/lib/*"]}}}',
    "src/app.ts": """
        import express from "express"
        import { Size, total } from "./lib/total"
        import { type Order, double } from "@lib/order"

        export const handler = async (order: Order): Promise<unknown> => [
          total(order), Size.Big, double(2), typeof express, __filename,
        ]
        """,
    "src/lib/total.ts": """
        import type { Order } from "./order"
        export enum Size { Small, Big }

        class OrderError extends Error {}

        export function total({ lines }: Order): number {
          if (lines < 0) throw new OrderError("no lines")
          return lines
        }
        """,
    "src/lib/order.ts": """
        export interface Order { lines: number }
        export const double = (x: number) => x * 2
        """,
}
MODULE = {
    "package.json": '{"type": "module"}',
    "app.ts": """
        import { name } from "./lib.js"
        const known: string = await Promise.resolve(name)
        const url = import.meta.url
        export const handler = async () => [known, url.startsWith("file:"), typeof require]
        """,
    "lib.ts": "export const name: string = 'lib'\n",
}
# A team's own package, linked into node_modules, and a package that only `import` can load.
WORKSPACE = {
    "app/handler.cts": """
        import { greet } from "@acme/core"
        import { only } from "es-only"
        export const handler = async (): Promise<unknown> => [greet("ana"), only]
        """,
    "core/package.json": '{"name": "@acme/core", "main": "src/index.ts"}',
    "core/src/index.ts": """
        import { nested } from "nested"
        export const greet = (name: string): string => `${nested} ${name}`
        """,
    "core/node_modules/nested/package.json": '{"name": "nested"}',
    "core/node_modules/nested/index.js": "exports.nested = 'hello'\n",
    "node_modules/es-only/package.json": '{"type": "module", "exports": "./index.js"}',
    "node_modules/es-only/index.js": "export const only = 'es'\n",
}


@pytest.fixture(scope="module")
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


def function(folder: Path, files: Mapping[str, str], handler: str = "app.handler") -> LocalFunction:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text).lstrip("\n"))
    return LocalFunction(
        name="orders",
        arn=ARN,
        address="aws_lambda_function.orders",
        runtime="nodejs22.x",
        handler=handler,
        path=folder,
        python=Path(sys.executable),
        node=NODE,
    )


def with_packages(folder: Path, *names: str) -> None:
    (folder / "node_modules").mkdir(exist_ok=True)
    for name in names:
        (folder / "node_modules" / name).symlink_to(PACKAGES / name)


def ran(api: RuntimeApi, local: LocalFunction, *events: object) -> Transcript:
    events = events or ({},)
    invocations = [invocation(event) for event in events]
    variables = {"ESBUILD_BINARY_PATH": "/nowhere", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
    return transcript(api, launch_of(local).command, local.path, invocations, variables)


@needs_esbuild
def test_typescript_runs_with_all_that_tsconfig_says(api: RuntimeApi, tmp_path: Path) -> None:
    local = function(tmp_path, ORDERS, "src/app.handler")
    with_packages(tmp_path, "esbuild", "express")
    before = sorted(tmp_path.rglob("*"))
    run = ran(api, local, {"lines": 3}, {"lines": -1})
    (_, _, answer), (call, _, body) = run.calls
    assert json.loads(answer) == [3, 1, 4, "function", str(tmp_path / "src" / "app.ts")]
    assert call.startswith("error of ")
    error = json.loads(body)
    assert (error["errorType"], error["errorMessage"]) == ("Error", "no lines")
    assert f"at total ({tmp_path}/src/lib/total.ts:7:24)" in error["trace"][1]
    assert f"{tmp_path}/src/app.ts:6:" in error["trace"][2]
    assert "node_bootstrap" not in str(error)
    assert sorted(tmp_path.rglob("*")) == before


@needs_esbuild
def test_es_modules_of_typescript_keep_what_only_they_have(api: RuntimeApi, tmp_path: Path) -> None:
    local = function(tmp_path, MODULE)
    with_packages(tmp_path, "esbuild")
    assert json.loads(ran(api, local).calls[0][2]) == ["lib", True, "function"]
    # The same source without `"type": "module"` can only be an ES module.
    (tmp_path / "package.json").write_text("{}")
    assert json.loads(ran(api, local).calls[0][2]) == ["lib", True, "function"]


@needs_esbuild
def test_packages_of_a_workspace_are_bundled_and_others_are_not(
    api: RuntimeApi, tmp_path: Path
) -> None:
    local = function(tmp_path, WORKSPACE, "app/handler.handler")
    with_packages(tmp_path, "esbuild")
    (tmp_path / "node_modules" / "@acme").mkdir()
    (tmp_path / "node_modules" / "@acme" / "core").symlink_to(tmp_path / "core")
    assert json.loads(ran(api, local).calls[0][2]) == ["hello ana", "es"]


FAULTS = {
    "app.ts:2": (
        "export const a = 1\nexport const handler = async ( => 1\n",
        "Runtime.UserCodeSyntaxError",
        'SyntaxError: Unexpected "=>"',
    ),
    "a file": (
        "import './nowhere'\nexport const handler = async () => 1\n",
        "Runtime.ImportModuleError",
        "Error: Cannot find module './nowhere'\nRequire stack:\n- ",
    ),
    "app.ts:3": (
        "interface A { b: number }\n\nthrow new TypeError('while loading')\n",
        "TypeError",
        "while loading",
    ),
    "a package": (
        "import { x } from 'nothing'\nexport const handler = async () => x\n",
        "Runtime.ImportModuleError",
        "Error: Cannot find module 'nothing'\nRequire stack:\n- ",
    ),
}


@needs_esbuild
@pytest.mark.parametrize("place", FAULTS)
def test_code_that_does_not_load_has_the_error_of_lambda(
    api: RuntimeApi, tmp_path: Path, place: str
) -> None:
    code, error_type, message = FAULTS[place]
    local = function(tmp_path, {"app.ts": code})
    with_packages(tmp_path, "esbuild")
    run = ran(api, local)
    call, given, body = run.calls[0]
    assert (call, given) == ("init error", error_type)
    error = json.loads(body)
    assert error["errorMessage"].startswith(message)
    shown = f"{tmp_path}/app.ts"
    if place.startswith("app.ts"):
        shown = f"{tmp_path}/{place}"
    assert shown in "\n".join(error["trace"])
    assert "node_bootstrap" not in run.stdout + str(error)
    assert "node_typescript" not in run.stdout + str(error)


@needs_esbuild
def test_an_edit_of_typescript_is_run_by_the_next_invocation(
    api: RuntimeApi, tmp_path: Path
) -> None:
    local = function(
        tmp_path, {"app.ts": "export const handler = async () => 'before' as string\n"}
    )
    with_packages(tmp_path, "esbuild")
    pool = Pool(local, api, Recorder())
    try:
        assert pool.submit(invocation()).result(60).outcome.body == b'"before"'
        save(tmp_path / "app.ts", "export const handler = async () => 'after' as string\n")
        pool.mark_stale()
        assert pool.submit(invocation()).result(60).outcome.body == b'"after"'
        save(tmp_path / "app.ts", "export const handler = async ( => 1\n")
        pool.mark_stale()
        failed = document(pool.submit(invocation()).result(60).outcome)
        assert failed["errorType"] == "Runtime.UserCodeSyntaxError"
    finally:
        pool.close()


@pytest.mark.parametrize(("name", "kind"), [("app.ts", "module"), ("app.cts", "commonjs")])
def test_a_new_node_runs_typescript_by_itself(
    api: RuntimeApi, tmp_path: Path, name: str, kind: str
) -> None:
    node = new_node()
    exported = "export const handler = async (event: Event) => run(event)\n"
    imported = "import { run } from './lib.mts'\n"
    if kind == "commonjs":
        exported = "exports.handler = async (event: Event) => run(event)\n"
        imported = "const { run } = require('./lib.cts')\n"
    files = {
        name: f"{imported}interface Event {{ fail?: boolean }}\n{exported}",
        "lib.mts": LIB.format("export function run"),
        "lib.cts": LIB.format("exports.run = function run"),
    }
    local = on(node, function(tmp_path, files))
    found = typescript_of(local)
    assert found is not None
    assert found.by_node
    assert obstacle(found, node) == ""
    (_, _, answer), (_, _, body) = ran(api, local, {}, {"fail": True}).calls
    assert answer == b"1"
    assert f"{tmp_path}/lib." in json.loads(body)["trace"][1]


@pytest.mark.skipif(not NODE.is_absolute(), reason="there is no node on PATH")
@pytest.mark.parametrize(
    ("runtime", "options", "runs"),
    [
        ("nodejs22.x", "", False),
        ("nodejs22.x", "--experimental-require-module", True),
        ("nodejs24.x", "", False),
    ],
)
def test_a_module_that_only_import_may_load_is_required_only_where_lambda_allows_it(
    api: RuntimeApi, tmp_path: Path, runtime: str, options: str, *, runs: bool
) -> None:
    version = version_of(NODE)
    if not switched_off("nodejs22.x", version, ""):
        pytest.skip(f"Node.js {version} never requires ES modules")
    files = {
        "app.js": "const { x } = require('./lib.mjs')\nexports.handler = async () => x\n",
        "lib.mjs": "export const x = 1\n",
    }
    local = replace(function(tmp_path, files), runtime=runtime)
    command = launch_of(local, node_options=options).command
    call, _, body = transcript(
        api, command, tmp_path, [invocation({})], {"NODE_OPTIONS": options}
    ).calls[0]
    if runs:
        assert body == b"1"
        return
    assert call == "init error"
    assert "require() of ES Module" in json.loads(body)["errorMessage"]


LIB = """{0}(event: {{ fail?: boolean }}): number {{
  if (event.fail) throw new Error('x')
  return 1
}}
"""


@pytest.mark.parametrize(
    ("code", "files", "expected"),
    [
        ("enum A {{ B }}", {}, "enum is not supported"),
        ("import {{ x }} from './lib'", {"lib.ts": ""}, 'imports "./lib" and not lib.ts'),
        ("import {{ x }} from './lib.js'", {"lib.ts": ""}, 'imports "./lib.js" and not lib.ts'),
        (
            "import {{ x }} from './lib.ts'",
            {"lib.ts": "namespace A { export const b = 1 }"},
            "lib.ts",
        ),
    ],
)
def test_what_node_itself_cannot_run_is_known_before(
    tmp_path: Path, code: str, files: dict[str, str], expected: str
) -> None:
    node = new_node()
    handler = "\nexport const handler = async () => 1\n"
    local = on(node, function(tmp_path, {"app.ts": code.format() + handler, **files}))
    found = typescript_of(local)
    assert found is not None
    assert expected in obstacle(found, node)


def on(node: Path, local: LocalFunction) -> LocalFunction:
    return replace(local, node=node)


def new_node() -> Path:
    for node in CANDIDATES:
        if strips_types(version_of(node)):
            return node
    pytest.skip("no Node.js here removes types by itself (22.18 or newer)")
