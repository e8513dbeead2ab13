"""The zips of stub and broker, and the folder that a stub image is built from.

The same input gives the same bytes on any machine: timestamps and modes are fixed, entries are
sorted. So a second plan shows no change. Zips are written atomically.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraliveError
from terralive_stub.image_arguments import VERSION as ARGUMENTS_VERSION
from terralive_stub.image_arguments import ImageArguments
from terralive_stub.protocol.token import function_key
from terralive_stub.shared.atomic_files import write_atomically
from terralive_terraform.handler_files import handler_files, node_files, stage_files

STUB_RUNTIME: Final = "python3.13"
STUB_PACKAGE: Final = "terralive_stub"
STUB_HANDLER: Final = f"{STUB_PACKAGE}.live.handler"
# Of a function whose callers take streamed responses.
STREAMING_STUB_HANDLER: Final = f"{STUB_PACKAGE}.live.streaming_handler"
STUB_HANDLERS: Final = frozenset((STUB_HANDLER, STREAMING_STUB_HANDLER))
# The beginning of the keys of all zips of the stub in the debug stack's bucket.
STUB_OBJECTS: Final = "stub/"
STUB_IMAGE: Final = "terralive-stub"
# The tag of the stub's image begins with the version of its arguments.
STUB_IMAGE_TAG: Final = ARGUMENTS_VERSION
# The stub as an image: https://docs.aws.amazon.com/lambda/latest/dg/python-image.html
STUB_IMAGE_BASE: Final = f"public.ecr.aws/lambda/python:{STUB_RUNTIME.removeprefix('python')}"
STUB_ARCHITECTURES: Final = ("x86_64", "arm64")
STUB_IMAGE_DIRECTORY: Final = "/var/task"
STUB_IMAGE_ENTRYPOINT: Final = ("/var/lang/bin/python3", "-m", "terralive_stub.container")
_DOCKERFILE: Final = f"""\
# terralive's stub, which takes the place of functions that are deployed as container images.
# https://docs.aws.amazon.com/lambda/latest/dg/python-image.html has the base image.
FROM {STUB_IMAGE_BASE}
WORKDIR {STUB_IMAGE_DIRECTORY}
COPY --chmod=755 terralive_stub terralive_stub
COPY --chmod=755 websocket websocket
ENTRYPOINT {json.dumps(STUB_IMAGE_ENTRYPOINT)}
"""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o644
_UNIX: Final = 3
# A stub imports none of these, and every file lengthens its download.
_NOT_IN_STUB: Final = (
    "terralive_stub/broker/",
    "terralive_stub/shared/arns.py",
    "terralive_stub/shared/atomic_files.py",
    "terralive_stub/shared/debug_log.py",
    "terralive_stub/shared/timestamps.py",
)
# The version in every stub, whichever is installed beside terralive: see vendored/README.md.
_WEBSOCKET_WHEEL: Final = (
    Path(__file__).parent / "vendored" / "websocket_client-1.9.2-py3-none-any.whl"
)
_WEBSOCKET_SHA256: Final = "e1a673830a9c7bfa47b1cd3d5e4178f4c9651d80a4eab02c9c23a1c3ec6250ce"
_CACHES: Final = frozenset({"__pycache__"})
_NOT_PACKAGED: Final = _CACHES | {"templates"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A zip for Lambda. `sha256_base64` is Terraform's `source_code_hash`."""

    path: Path
    sha256_base64: str


@dataclass(frozen=True, slots=True)
class StubObject:
    """The stub's zip in S3.

    Attributes:
        bucket: the debug stack's bucket.
        key: the object's key. It contains the zip's hash: another zip is another object.
    """

    bucket: str
    key: str

    @classmethod
    def of(cls, bucket: str, stub: Artifact) -> StubObject:
        """Return the object of a zip."""
        digest = base64.b64decode(stub.sha256_base64).hex()
        return cls(bucket, f"{STUB_OBJECTS}{digest}.zip")


@dataclass(frozen=True, slots=True)
class StubCoordinates:
    """The settings in a stub's zip.

    Attributes:
        url: the URL of the debug stack's WebSocket API for stubs.
        app: the app's name.
        stage: the stage's name.
        secret: the stage's secret.
        arn_prefix: the ARN of a function in the debug stack's account and region, without the name.
            A stub of such a function connects in Lambda's init phase; with "" none does.
    """

    url: str
    app: str
    stage: str
    secret: bytes = field(repr=False)
    arn_prefix: str = ""

    def image_key(self, function_arn: str) -> str:
        """Return the key of one function's stub image, in hex; Terraform's state contains it."""
        return function_key(self.secret, function_arn).hex()

    def image_command(self, key: str) -> tuple[str, ...]:
        """Return the command of a stub image with a key, or with an expression for one."""
        return ImageArguments(self.url, self.app, self.stage, key).command()


def build_stub_zip(coordinates: StubCoordinates, out_dir: Path) -> Artifact:
    """Build the stub's zip, which all live functions of a stage have in common.

    The stage's secret is in it, so only its owner may read the file.
    """
    files = stub_files()
    files["terralive_settings.py"] = _render_settings(coordinates)
    return write_zip(files, out_dir / "stub.zip")


def build_stub_at(
    coordinates: StubCoordinates, handlers: Collection[str], out_dir: Path, *, version: str = ""
) -> Artifact:
    """Build the zip of a stub that stands at a function's own handlers.

    Args:
        coordinates: the settings of the stub.
        handlers: the handlers; see `handler_files.can_stand_at`.
        out_dir: the folder for the zip, whose name tells the handlers.
        version: the version that answers on a runtime of Node.js; "" for none.
    """
    files = stub_files()
    files["terralive_settings.py"] = _render_settings(coordinates)
    files.update(handler_files(handlers))
    if version:
        files.update(node_files(handlers, version))
    files.update(stage_files(coordinates.app, coordinates.stage))
    words = [version, *sorted(handlers)]
    name = hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
    return write_zip(files, out_dir / f"stub-{name}.zip")


def write_stub_image(folder: Path) -> bool:
    """Write the stub and a Dockerfile for its image into a folder.

    Returns:
        False where a Dockerfile of other content exists. It is not overwritten.
    """
    for name, data in stub_files().items():
        write_atomically(folder / name, data)
    dockerfile = folder / "Dockerfile"
    if dockerfile.exists():
        return dockerfile.read_text("utf-8") == _DOCKERFILE
    write_atomically(dockerfile, _DOCKERFILE.encode())
    return True


def stub_files() -> dict[str, bytes]:
    """Return the files of a stub that has no settings: the content of each by its path."""
    files = {
        name: data for name, data in _package("terralive_stub") if not name.startswith(_NOT_IN_STUB)
    }
    files.update(_websocket_client(_WEBSOCKET_WHEEL.read_bytes()))
    return files


def build_broker_zip(out_dir: Path) -> Artifact:
    """Build the broker's zip. Lambda's runtime provides boto3."""
    return write_zip(dict(_package("terralive_stub")), out_dir / "broker.zip")


def zip_folder(folder: Path, target: Path) -> Artifact:
    """Zip a function's code folder."""
    return write_zip(dict(_files(folder, "", _CACHES)), target, compress=True)


def write_zip(files: Mapping[str, bytes], target: Path, *, compress: bool = False) -> Artifact:
    """Write files to a deterministic zip. A zip that has the same content already stays untouched.

    It is not compressed by default: the output of zlib differs between its versions, and the
    members of a team share a Terraform state.

    Args:
        files: the content of each file, by its path in the zip.
        target: the zip.
        compress: whether to compress.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = method
            entry.create_system = _UNIX
            entry.external_attr = _FILE_MODE << 16
            archive.writestr(entry, files[name])
    data = buffer.getvalue()
    if not (target.is_file() and target.read_bytes() == data):
        write_atomically(target, data)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
    return Artifact(target.resolve(), digest)


def _render_settings(coordinates: StubCoordinates) -> bytes:
    import jinja2  # noqa: PLC0415  # costs every command 20 ms, and only a stub's zip needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("terralive_stub"),
        undefined=jinja2.StrictUndefined,
        # The output is Python, not HTML. The template writes every value with `tojson`.
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
    )
    template = environment.get_template("terralive_settings.py.j2")
    return template.render(asdict(coordinates)).encode()


def _package(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of an installed package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise TerraliveError(
            "installation-incomplete",
            f"The package {name} is not installed beside terralive.",
            hint="Install terralive again: `pip install --force-reinstall terralive`.",
        )
    yield from _files(Path(next(iter(spec.submodule_search_locations))), f"{name}/", _NOT_PACKAGED)


def _websocket_client(wheel: bytes) -> dict[str, bytes]:
    """Return the files of the package `websocket` and its licence from a wheel.

    Raises:
        TerraliveError: `installation-incomplete`: it is not the wheel that was reviewed.
    """
    if hashlib.sha256(wheel).hexdigest() != _WEBSOCKET_SHA256:
        raise TerraliveError(
            "installation-incomplete",
            f"{_WEBSOCKET_WHEEL} was changed after terralive was installed.",
            hint="Install terralive again: `pip install --force-reinstall terralive`.",
        )
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            if folder == "websocket":
                files[name] = archive.read(name)
            elif file.startswith("LICENSE"):
                files[f"websocket/{file}"] = archive.read(name)
    return files


def _files(root: Path, prefix: str, skipped: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file below a folder, except in the skipped folders."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not skipped.intersection(relative.parts) and path.suffix != ".pyc":
            yield f"{prefix}{relative.as_posix()}", path.read_bytes()
