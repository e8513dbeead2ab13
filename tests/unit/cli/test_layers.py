"""Layers on this machine: the team's own files, and layers that are downloaded."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import stat
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_cli.configuration.tables import DownloadChoice
from terralive_cli.functions.code_checks import require_handler
from terralive_cli.layers.download import download_missing
from terralive_cli.layers.literal_paths import literal_path_warnings
from terralive_cli.layers.local import local_layers
from terralive_cli.layers.native import native_warnings
from terralive_cli.layers.store import LayerStore
from terralive_relay.events import Event, Warned
from terralive_stub.errors import ConfigurationError
from terralive_terraform.evaluation.layers import PlannedLayer
from terralive_terraform.evaluation.sources.layouts import file_entry, folder_entry
from terralive_workers.function import LayerPart, LocalFunction

POWERTOOLS = "arn:aws:lambda:eu-west-1:017000801446:layer:AWSLambdaPowertoolsPythonV3:7"
API = "aws_lambda_function.api"


def zipped(**files: str) -> bytes:
    """Return a zip file with executable `bin/tool`, a link to it, and these modules."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"python/{name}.py", text)
        tool = zipfile.ZipInfo("bin/tool")
        tool.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(tool, "#!/bin/sh\n")
        for name, target in (("link", "tool"), ("out", "../../../etc/passwd")):
            link = zipfile.ZipInfo(f"bin/{name}")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    return content.getvalue()


class Lambda:
    """Lambda's API, as far as it tells where the content of a layer is."""

    def __init__(self, url: str, content: bytes) -> None:
        self.url = url
        self.sum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        self.asked: list[tuple[str, str, str]] = []
        self.refused = False

    def client(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # boto3's
        def get_layer_version_by_arn(*, Arn: str) -> dict[str, Any]:  # noqa: N803  # boto3's name
            self.asked.append((account, region, Arn))
            if self.refused:
                raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetLayerVersion")
            return {"Content": {"Location": self.url, "CodeSha256": self.sum}}

        assert service == "lambda"
        return SimpleNamespace(get_layer_version_by_arn=get_layer_version_by_arn)


class User:
    def __init__(self, *answers: str) -> None:
        self.interactive = bool(answers)
        self.questions: list[str] = []
        self.events: list[Event] = []
        self._answers = list(answers)

    def emit(self, *events: Event) -> None:
        self.events += events

    def answer(self, question: str) -> str:
        self.questions.append(question)
        return self._answers.pop(0)

    def warned(self) -> dict[str, str]:
        return {item.reference: item.message for item in self.events if isinstance(item, Warned)}


@pytest.fixture
def aws() -> Iterator[Lambda]:
    content = zipped(shared="NAME = 1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Lambda(f"http://127.0.0.1:{server.server_port}/layer.zip", content)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    return LayerStore(tmp_path / "cache")


def function(store: LayerStore, *arns: str) -> LocalFunction:
    return LocalFunction(
        name="api",
        arn="arn:aws:lambda:eu-west-1:123456789012:function:api",
        address=API,
        runtime="python3.12",
        handler="app.handler",
        path=store.folder,
        python=Path("python"),
        layers=tuple(LayerPart(store.folder_of(arn), arn=arn) for arn in arns),
    )


def test_a_layer_is_downloaded_once_after_a_yes(aws: Lambda, store: LayerStore) -> None:
    user = User("y")
    functions = [function(store, POWERTOOLS)]
    download_missing(functions, DownloadChoice.ASK, aws, user, store)
    folder = store.folder_of(POWERTOOLS)
    assert (folder / "python" / "shared.py").read_text() == "NAME = 1"
    assert os.access(folder / "bin" / "tool", os.X_OK)
    assert (folder / "bin" / "link").readlink() == Path("tool")
    assert not (folder / "bin" / "out").is_symlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert POWERTOOLS in user.questions[0]
    assert [path.name for path in store.folder.iterdir()] == [folder.name]
    download_missing(functions, DownloadChoice.ASK, aws, user, store)
    assert aws.asked == [("123456789012", "eu-west-1", POWERTOOLS)]
    assert user.events == []


def test_a_no_holds_for_later_starts(aws: Lambda, store: LayerStore) -> None:
    for answers in (("n",), ("y",)):
        user = User(*answers)
        download_missing([function(store, POWERTOOLS)], DownloadChoice.ASK, aws, user, store)
        assert "you did not want it" in user.warned()["layer-missing"]
    assert user.questions == []
    assert aws.asked == []
    download_missing([function(store, POWERTOOLS)], DownloadChoice.ALWAYS, aws, User(), store)
    assert store.folder_of(POWERTOOLS).is_dir()


@pytest.mark.parametrize("choice", [DownloadChoice.ASK, DownloadChoice.NEVER])
def test_without_a_terminal_nothing_is_downloaded_unasked(
    aws: Lambda, store: LayerStore, choice: DownloadChoice
) -> None:
    user = User()
    download_missing([function(store, POWERTOOLS)], choice, aws, user, store)
    assert user.warned()["layer-missing"].startswith(
        f"Handlers run without the layer {POWERTOOLS} (api): "
    )
    assert aws.asked == []
    assert not store.folder.exists()


def test_a_layer_that_cannot_be_had_is_named(aws: Lambda, store: LayerStore) -> None:
    aws.sum = "another"
    user = User()
    download_missing([function(store, POWERTOOLS)], DownloadChoice.ALWAYS, aws, user, store)
    assert "does not have the sum" in user.warned()["layer-missing"]
    aws.refused = True
    user = User()
    download_missing([function(store, POWERTOOLS)], DownloadChoice.ALWAYS, aws, user, store)
    assert "refused (AccessDeniedException)" in user.warned()["layer-missing"]
    user = User()
    odd = POWERTOOLS.rpartition(":")[0]
    download_missing([function(store, odd)], DownloadChoice.ALWAYS, aws, user, store)
    assert "no ARN of a layer version" in user.warned()["layer-missing"]
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("layer", "references"),
    [
        # Served on this machine, without the layer.
        ("015030872274:layer:AWS-Parameters-and-Secrets-Lambda-Extension:12", []),
        ("434848589818:layer:AWS-AppConfig-Extension:120", []),
        ("464622532012:layer:Datadog-Extension:65", ["extension-not-here"]),
    ],
)
def test_an_extension_is_not_downloaded_and_is_named_if_nothing_serves_it(
    aws: Lambda, store: LayerStore, layer: str, references: list[str]
) -> None:
    user = User("y")
    arn = f"arn:aws:lambda:eu-west-1:{layer}"
    download_missing([function(store, arn)], DownloadChoice.ASK, aws, user, store)
    assert list(user.warned()) == references
    assert user.questions == []
    assert aws.asked == []


def test_the_parts_of_a_layer_are_its_zip_and_then_its_folders(
    tmp_path: Path, store: LayerStore
) -> None:
    source, built, single = tmp_path / "src", tmp_path / "1f.zip", tmp_path / "shared.py"
    source.mkdir()
    single.touch()
    built.write_bytes(zipped(requests="NAME = 1"))
    layer = PlannedLayer(
        "module.layer.aws_lambda_layer_version.this[0]",
        entries=(folder_entry(source, "python/tools"), file_entry(single, "python/shared.py")),
        zips=(built,),
    )
    found = local_layers({API: (layer, PlannedLayer(POWERTOOLS, POWERTOOLS))}, store)[API]
    unpacked, *others = found.parts
    assert (unpacked.local / "python" / "requests.py").is_file()
    assert others == [
        LayerPart(source, "python/tools"),
        LayerPart(single, "python/shared.py"),
        LayerPart(store.folder_of(POWERTOOLS), arn=POWERTOOLS),
    ]
    assert found.watched == (source, single)
    assert found.warnings == ()


def test_a_layer_that_is_not_built_is_named(tmp_path: Path, store: LayerStore) -> None:
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"PK")
    layers = (
        PlannedLayer("one", entries=(folder_entry(tmp_path / "build"),)),
        PlannedLayer("two", zips=(tmp_path / "two.zip",)),
        PlannedLayer("three", zips=(damaged,)),
        PlannedLayer("four", problem="only an apply tells its layers"),
    )
    found = local_layers({API: layers}, store)[API]
    assert found.parts == ()
    one, two, three, four = found.warnings
    assert one == (
        f"The handler runs without the layer one: {tmp_path / 'build'} does not exist: build it."
    )
    assert f"{tmp_path / 'two.zip'} does not exist" in two
    assert f"{damaged} cannot be unpacked" in three
    assert four.endswith("four: only an apply tells its layers.")


def test_code_that_reads_opt_by_a_literal_path_is_named(tmp_path: Path, store: LayerStore) -> None:
    code = tmp_path / "code"
    (code / "node_modules" / "x").mkdir(parents=True)
    (code / "node_modules" / "x" / "index.js").write_text("open('/opt/x')")
    (code / "app.py").write_text("# /opt/tessdata\n\nDATA = '/opt/tessdata'\n")
    (code / "clean.py").write_text("OPTIONS = 'opt/x'\n")
    layered = replace(function(store, POWERTOOLS), path=code)
    (warning,) = literal_path_warnings([layered, replace(layered, layers=())])
    assert warning.reference == "code-names-opt"
    assert warning.message.startswith("app.py:3: the code names a file below /opt")


def test_a_handler_may_be_in_a_layer_of_the_team(tmp_path: Path, store: LayerStore) -> None:
    module = tmp_path / "layer" / "python" / "entry"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    layered = replace(function(store), path=tmp_path / "code", handler="entry.handler")
    with pytest.raises(ConfigurationError, match="names no file"):
        require_handler(layered)
    require_handler(replace(layered, layers=(LayerPart(tmp_path / "layer"),)))
    require_handler(replace(layered, roots=(tmp_path / "layer" / "python",)))


def compiled(minor: int, machine: str) -> str:
    return f"_speed.cpython-3{minor}-{machine}-linux-gnu.so"


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (compiled(99, platform.machine()), f"Python 3.99 on Linux, {platform.machine()}"),
        (compiled(sys.version_info[1], "s390x"), "Linux, s390x"),
        (compiled(sys.version_info[1], platform.machine()), ""),
        ("libspeed.so", ""),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="a layer's modules are for Linux")
def test_compiled_modules_of_another_python_or_machine_are_named(
    tmp_path: Path, store: LayerStore, module: str, fault: str
) -> None:
    (tmp_path / "layer" / "python" / "speed").mkdir(parents=True)
    (tmp_path / "layer" / "python" / "speed" / module).touch()
    part = LayerPart(tmp_path / "layer")
    own = replace(function(store), python=Path(sys.executable), layers=(part,))
    warnings = list(native_warnings([own, replace(own, runtime="nodejs22.x")]))
    assert [fault in item.message for item in warnings] == [True] * bool(fault)
