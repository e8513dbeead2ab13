"""Workers find the content of layers, and an edit of it reloads the handler."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_relay.code.watch import Watcher
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import Recorder, invocation, local_function
from terralive_workers.function import LayerPart, LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

Run = Callable[[LocalFunction], object]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run one invocation of a function and return what its handler returns."""
    api = RuntimeApi()
    pools: list[Pool] = []

    def run(function: LocalFunction) -> object:
        pool = Pool(function, api, Recorder())
        pools.append(pool)
        outcome = pool.submit(invocation()).result(timeout=60).outcome
        assert outcome.ok, outcome.body
        return json.loads(outcome.body)

    yield run
    for pool in pools:
        pool.close()
    api.close()


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))


def test_what_layers_bring_is_imported_and_the_later_layer_wins(tmp_path: Path, run: Run) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "python" / "shared.py", f"NAME = {name!r}")
        write(tmp_path / name / "python" / f"only_{name}.py", f"NAME = {name!r}")
    below = "python/lib/python3.12/site-packages"
    write(tmp_path / "one" / below / "installed.py", "NAME = 'installed'")
    # terraform-aws-modules: `prefix_in_zip = "python/tools"`, and an archive's single file.
    write(tmp_path / "src" / "anything" / "__init__.py", "NAME = 'tools'")
    write(tmp_path / "src" / "lonely.py", "NAME = 'lonely'")
    code = tmp_path / "code"
    code.mkdir()
    function = local_function(
        code,
        """
        import installed, lonely, only_one, only_two, shared, tools
        def handler(event, context):
            modules = (installed, lonely, only_one, only_two, shared, tools)
            return [*(module.NAME for module in modules), shared.__file__]
        """,
    )
    function = replace(
        function,
        layers=(
            LayerPart(tmp_path / "one"),
            LayerPart(tmp_path / "src" / "anything", "python/tools"),
            LayerPart(tmp_path / "src" / "lonely.py", "python/lonely.py"),
            LayerPart(tmp_path / "two"),
            LayerPart(tmp_path / "not-downloaded", arn="arn:aws:lambda:eu-west-1:1:layer:x:1"),
        ),
    )
    file = str(tmp_path / "two" / "python" / "shared.py")
    assert run(function) == ["installed", "lonely", "one", "two", "two", "tools", file]


def test_pth_files_of_the_code_and_of_layers_are_read(tmp_path: Path, run: Run) -> None:
    """As `pip install --target` writes them for packages that share a namespace."""
    code, below = tmp_path / "code", "python/lib/python3.12/site-packages"
    write(code / "vendored.pth", "vendor\n")
    write(code / "vendor" / "vendored.py", "NAME = 'vendored'")
    write(tmp_path / "layer" / below / "linked.pth", "inner\n")
    write(tmp_path / "layer" / below / "inner" / "linked.py", "NAME = 'linked'")
    write(tmp_path / "layer" / "python" / "hook.pth", "import sys; sys.hooked = True\n")
    function = local_function(
        code,
        """
        import linked, sys, vendored
        def handler(event, context):
            return [linked.NAME, vendored.NAME, sys.hooked]
        """,
    )
    function = replace(function, layers=(LayerPart(tmp_path / "layer"),))
    assert run(function) == ["linked", "vendored", True]


def test_code_of_the_function_itself_comes_before_its_layers(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "layer" / "python" / "shared.py", "NAME = 'layer'")
    write(tmp_path / "code" / "shared.py", "NAME = 'function'")
    function = local_function(
        tmp_path / "code", "import shared\ndef handler(event, context): return shared.NAME"
    )
    assert run(replace(function, layers=(LayerPart(tmp_path / "layer"),))) == "function"


def test_packages_of_a_workspace_are_imported_from_their_import_roots(
    tmp_path: Path, run: Run
) -> None:
    write(tmp_path / "packages" / "core" / "src" / "core" / "__init__.py", "NAME = 'core'")
    write(tmp_path / "packages" / "mail" / "mail.py", "NAME = 'mail'")
    write(tmp_path / "code" / "app.py", "")
    function = local_function(
        tmp_path / "code",
        "import core, mail\ndef handler(event, context): return [core.NAME, mail.NAME]",
    )
    roots = (tmp_path / "packages" / "core" / "src", tmp_path / "packages" / "mail")
    assert run(replace(function, roots=roots)) == ["core", "mail"]


def test_libraries_of_the_code_and_of_layers_are_found_by_the_loader(
    tmp_path: Path, run: Run
) -> None:
    code, layer = tmp_path / "code", tmp_path / "layer"
    for folder in (code / "lib", layer / "lib"):
        write(folder / "libown.so.1", "")
    function = local_function(
        code, "import os\ndef handler(event, context): return os.environ['LD_LIBRARY_PATH']"
    )
    found = run(replace(function, layers=(LayerPart(layer),)))
    assert str(found).split(":")[-2:] == [str(code / "lib"), str(layer / "lib")]


def test_a_program_and_a_package_of_a_node_layer_are_found(tmp_path: Path, run: Run) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    below = tmp_path / "layer" / "nodejs"
    write(below / "node_modules" / "shared" / "index.js", "exports.name = 'layer'")
    write(below / "node22" / "node_modules" / "newer" / "index.js", "exports.name = 'node22'")
    write(tmp_path / "layer" / "bin" / "tool", "#!/bin/sh\necho tool\n")
    (tmp_path / "layer" / "bin" / "tool").chmod(0o755)
    write(
        tmp_path / "code" / "app.js",
        """
        const { execFileSync } = require("node:child_process");
        const names = [require("shared").name, require("newer").name];
        exports.handler = async () => [...names, execFileSync("tool").toString().trim()];
        """,
    )
    function = local_function(tmp_path / "code")
    function = replace(
        function,
        runtime="nodejs22.x",
        node=Path(node),
        layers=(LayerPart(tmp_path / "layer"),),
    )
    assert run(function) == ["layer", "node22", "tool"]


def test_an_edit_of_a_layer_or_of_a_sibling_package_is_a_change(tmp_path: Path) -> None:
    """In a layer, `node_modules` has code of the team's; elsewhere it has not."""
    layer = tmp_path / "layer" / "nodejs"
    sibling = tmp_path / "packages" / "core"
    for folder in (layer / "node_modules" / "shared", sibling / "node_modules", tmp_path / "code"):
        folder.mkdir(parents=True)
    function = replace(
        local_function(tmp_path / "code"),
        layers=(LayerPart(tmp_path / "layer"),),
        also_watched=(tmp_path / "layer", sibling),
    )
    changes: list[str] = []
    more = threading.Condition()

    def changed(_: LocalFunction, paths: tuple[str, ...]) -> None:
        with more:
            changes.extend(paths)
            more.notify_all()

    watcher = Watcher([function], changed)
    watcher.start()
    assert watcher.wait_ready(20)
    (sibling / "node_modules" / "x.js").write_text("1")
    (layer / "node_modules" / "shared" / "index.js").write_text("1")
    (sibling / "core.py").write_text("1")
    wanted = {"../layer/nodejs/node_modules/shared/index.js", "../packages/core/core.py"}
    with more:
        assert more.wait_for(lambda: wanted <= set(changes), 20), changes
    watcher.close()
    assert not any("core/node_modules" in path for path in changes)
