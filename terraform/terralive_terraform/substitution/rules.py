"""The rules of substitution: from a declared function to the attributes that change.

Pure: values in, values out. The changes are written to an override file
(https://developer.hashicorp.com/terraform/language/files/override). docs/ARCHITECTURE.md, "Making
an app live", lists the functions that stay as they are.
"""

from __future__ import annotations

import fnmatch
import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from terralive_stub.shared.json_documents import Json, as_object, items, section
from terralive_terraform.addresses import LOCALS
from terralive_terraform.artifacts import (
    STREAMING_STUB_HANDLER,
    STUB_HANDLER,
    STUB_RUNTIME,
    StubObject,
)
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.hcl.blocks import as_expression
from terralive_terraform.handler_files import is_node
from terralive_terraform.image_stub import ImageStub

# Set in the environment of a CDKTF program that terralive runs.
LIVE_VARIABLE: Final = "TERRALIVE_LIVE"
# The unpublished version of a function, which is what a stub replaces:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
LATEST: Final = "$LATEST"
# The wrapper of a layer starts the runtime. Without its layer the stub would not start either:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
_WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"
# Runtimes that the stub runs on. A Python layer has packages that are compiled for its function's
# runtime, so a function that keeps its layers keeps such a runtime, too.
STUB_RUNTIMES: Final = ("python3.11", "python3.12", "python3.13", "python3.14")
_ZIP: Final = ("filename", "s3_bucket", "s3_key")
_UNSET: Final = ("s3_object_version", "image_uri", "code_sha256")
CODE_HASHES: Final = ("source_code_hash", "code_sha256")
_REMOVED_BLOCKS: Final = ("image_config", "snap_start")
_SET: Final = (*_ZIP, "source_code_hash", "handler", "runtime", "package_type")
_REPLACED: Final = frozenset((*_SET, "layers", *_UNSET, *_REMOVED_BLOCKS))
# What a live function has from terralive alone, and what terralive takes from it unless the stub
# needs it. Beside these, only the timeout of a function that is debugged changes.
GIVEN: Final = frozenset((*_SET, "description", "image_uri", "image_config"))
TAKEN: Final = _REPLACED - GIVEN
# A function with one of these attributes or blocks stays as it is, for this reason.
_NOT_LIVE_WITH: Final[Mapping[str, str]] = {
    "code_signing_config_arn": "it accepts signed code only (code_signing_config_arn), and the "
    "stub is not signed",
    "durable_config": "it is a durable function, whose executions outlive an invocation",
    "capacity_provider_config": "it runs on managed instances, which run several invocations at a "
    "time in one environment",
}

_IMAGE: Final = (
    "it is deployed as a container image, and only another image can replace it; there is none of "
    "terralive's stub"
)
UNKNOWN_ARN: Final = (
    "it is a container image, and the key of its stub is derived from its ARN, which is not known "
    "before the plan: it is not deployed yet, and its function_name is an expression or its "
    "provider has an alias; deploy it first (`terraform apply`), or leave it as it is"
)
# https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
_ELSEWHERE: Final = (
    "it is a container image in another region than the stage: Lambda takes an image from its own "
    "region only, and the debug stack's repository is in the stage's. Push an image of your own "
    "to each region, and name it with {region} in [stub_image] of terralive.toml, or leave this "
    "function as it is"
)
_SEVERAL_REGIONS: Final = (
    "it is a container image whose instances are in several regions, and all of them would get the "
    "same image; leave it as it is"
)
_UNREAD_NAME: Final = (
    "it is a container image in a module with count or for_each, so the key of its stub is looked "
    "up by its function_name, and the block that has it cannot be read"
)


@dataclass(frozen=True, slots=True)
class NotLive:
    """A function that cannot become live and stays as it is.

    Attributes:
        address: its address, perhaps without instance keys.
        reason: why, as the first part of a sentence.
        key: the attribute or block of the configuration that keeps it from being live; "" for none.
        lines: the lines to add to terralive.toml to make it live; () where none would.
    """

    address: str
    reason: str
    key: str = ""
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The reason, and below it the lines to add."""
        if not self.lines:
            return self.reason
        return "\n".join([f"{self.reason}. Add to terralive.toml:", *self.lines])


@dataclass(frozen=True, slots=True)
class ByApi:
    """The decision that Lambda's API makes a function live, because Terraform would not restore it.

    Attributes:
        ignored: what its lifecycle ignores of what a stub replaces; `all` for everything.
    """

    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The stub of a stage, and which functions it replaces.

    Attributes:
        stub_zip: the stub's zip.
        stub_hash: its base64 SHA-256.
        exclude: globs of functions that stay as they are.
        debug: addresses or names of functions whose timeout is raised.
        image_stub: the stub for container images; None where they stay as they are.
        description: the description of functions while they are live (see `marker`).
        stub_object: the stub's zip in S3; None where functions get it as a file.
        by_file: addresses of functions that get it as a file all the same.
        code_hashes: other values of `source_code_hash` than the zip's, by address. The AWS provider
            updates the code when this value changes.
    """

    stub_zip: Path
    stub_hash: str
    exclude: tuple[str, ...] = ()
    debug: tuple[str, ...] = ()
    image_stub: ImageStub | None = None
    description: str = ""
    stub_object: StubObject | None = None
    by_file: tuple[str, ...] = ()
    code_hashes: Mapping[str, str] = field(default_factory=dict)

    def seen_from(self, directory: Path) -> LiveSettings:
        """Return settings whose zip is relative to the folder that Terraform runs in.

        The path becomes part of the state. A path that differs between two checkouts would be a
        change in every plan.
        """
        return replace(self, stub_zip=Path(os.path.relpath(self.stub_zip, directory)))

    def selects(self, function: DeclaredFunction) -> bool:
        """Return whether a function is among those that become live."""
        for name in function.names:
            if any(fnmatch.fnmatchcase(name, glob) for glob in self.exclude):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Substitution:
    """The changes that make one function live.

    Attributes:
        set: attributes that get a value.
        unset: attributes that are removed.
        removed_blocks: nested blocks that are removed.
        blocks: nested blocks that replace all blocks of their type.
    """

    set: Mapping[str, Json]
    unset: tuple[str, ...]
    removed_blocks: tuple[str, ...]
    blocks: Mapping[str, Json] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """Return the changes without nested blocks as a document, which `of_document` reads."""
        return {
            "set": dict(self.set),
            "unset": list(self.unset),
            "removed_blocks": list(self.removed_blocks),
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Json]) -> Self:
        """Return the changes of a document."""
        return cls(
            set=section(document, "set"),
            unset=tuple(str(name) for name in items(document, "unset")),
            removed_blocks=tuple(str(name) for name in items(document, "removed_blocks")),
        )


def substitute(function: DeclaredFunction, live: LiveSettings) -> Substitution | ByApi | NotLive:
    """Return the changes that make a function live, or the reason why it stays as it is."""
    found = _reason_against(function, live)
    if found is not None:
        return found
    ignored = ignored_by_terraform(function)
    if ignored:
        return _by_api(function, ignored)
    if function.is_image and live.image_stub is not None:
        return _substitute_image(function, live.image_stub, live)
    return _substitute_zip(function, live)


def _reason_against(function: DeclaredFunction, live: LiveSettings) -> NotLive | None:
    """Return the reason why a function stays as it is; None where it can become live."""
    for name, reason in _NOT_LIVE_WITH.items():
        if name in function.attributes:
            return NotLive(function.address, reason, key=name)
    if function.is_image:
        reason = _reason_against_image(function, live.image_stub)
        if reason:
            return NotLive(function.address, reason)
    return None


def ignored_by_terraform(function: DeclaredFunction) -> tuple[str, ...]:
    """Return what a function's lifecycle ignores of what a stub replaces; () for nothing."""
    ignored = tuple(sorted(_REPLACED.intersection(function.ignored)))
    if not ignored and "all" in function.ignored:
        return ("all",)
    if not ignored and function.code_elsewhere and function.runtime in STUB_RUNTIMES:
        # Terraform can make the others live. A restore looks whether it would bring their code.
        return ("source_code_hash",)
    return ignored


def _by_api(function: DeclaredFunction, ignored: tuple[str, ...]) -> ByApi | NotLive:
    """Return that Lambda's API makes a function live, or the reason why it stays as it is.

    Its handler stays, and so does its runtime where the stub runs on it.
    """
    runtime = function.runtime or ""
    keeps_runtime = runtime in STUB_RUNTIMES
    # What a `terraform apply` by hand sets back tells that the runtime is the stub's.
    may_change = is_node(runtime) and not {"runtime", "all"}.intersection(ignored)
    if not function.is_image and (keeps_runtime or may_change):
        return ByApi(ignored)
    found = f"its runtime is {runtime}"
    if function.is_image:
        found = "it is a container image"
    elif not runtime:
        found = "only Terraform knows its runtime"
    return NotLive(
        function.address,
        f"its lifecycle ignores changes of {', '.join(ignored)}, so Terraform could not restore "
        "its own code. terralive restores such functions by Lambda's API, for zips of Python 3.11 "
        "and later, and of Node.js where changes of the runtime are not ignored; but "
        f"{found}. Remove that from ignore_changes on the stages that you develop on, or leave "
        "this function as it is",
        key="ignore_changes",
    )


def _reason_against_image(function: DeclaredFunction, stub: ImageStub | None) -> str:
    """Return the reason why a container image stays as it is; "" where it can become live."""
    if stub is None:
        return _IMAGE
    if function.architecture not in stub.images:
        known = ", ".join(sorted(stub.images))
        architecture = function.architecture or "an architecture that only Terraform knows"
        return (
            f"it is a container image for {architecture}, and there is an image of terralive's "
            f"stub for {known} only"
        )
    in_region = _reason_against_region(function, stub)
    if in_region:
        return in_region
    if function.module_repeated and not as_expression(function.written_name):
        return _UNREAD_NAME
    if stub.command(function) is None:
        return UNKNOWN_ARN
    return ""


def _reason_against_region(function: DeclaredFunction, stub: ImageStub) -> str:
    """Return the reason why an image gets no stub in its region; "" where it gets one."""
    if len(stub.regions(function)) > 1:
        return _SEVERAL_REGIONS
    if not stub.image(function):
        return _ELSEWHERE
    return ""


def _substitute_image(
    function: DeclaredFunction, stub: ImageStub, live: LiveSettings
) -> Substitution:
    command = stub.command(function) or ()
    return Substitution(
        set={
            "image_uri": stub.image(function),
            **_unpublished(function),
            **_description(live),
            **_raised_timeout(function, live),
        },
        unset=tuple(name for name in CODE_HASHES if function.may_have(name)),
        removed_blocks=(),
        blocks={"image_config": [{"command": list(command)}]},
    )


def _substitute_zip(function: DeclaredFunction, live: LiveSettings) -> Substitution:
    stub = stub_definition(function)
    if function.stub:
        stub = Substitution.of_document(function.stub)
    code = _code(function, live)
    handler = STUB_HANDLER
    if function.streams:
        handler = STREAMING_STUB_HANDLER
    of_stage: dict[str, Json] = {
        "handler": handler,
        **code,
        "source_code_hash": live.code_hashes.get(function.address, live.stub_hash),
        **_description(live),
        **_raised_timeout(function, live),
    }
    places = [name for name in _ZIP if function.may_have(name)]
    unset = tuple(name for name in (*places, *stub.unset) if name not in code)
    return replace(stub, set={**stub.set, **of_stage}, unset=unset)


def stub_definition(function: DeclaredFunction) -> Substitution:
    """Return what the stub of a function with a zip is, in every stage.

    The place of its code, its description and a raised timeout are a stage's own.
    """
    unset: list[str] = [name for name in _UNSET if function.may_have(name)]
    # An environment that only Terraform can compute may name a wrapper.
    keeps_layers = _WRAPPER in function.environment_names or not function.environment_known
    runtime = STUB_RUNTIME
    if function.may_have("layers"):
        if not keeps_layers:
            unset.append("layers")
        elif function.runtime in STUB_RUNTIMES:
            runtime = function.runtime
    return Substitution(
        set={
            "handler": STUB_HANDLER,
            "runtime": runtime,
            "package_type": "Zip",
            **_unpublished(function),
        },
        unset=tuple(unset),
        removed_blocks=tuple(name for name in _REMOVED_BLOCKS if function.may_have(name)),
    )


def _code(function: DeclaredFunction, live: LiveSettings) -> dict[str, Json]:
    """Return the attributes that name the stub's zip: an object in S3, or a file."""
    stub = live.stub_object
    if stub is None or function.address in live.by_file:
        return {"filename": live.stub_zip.as_posix()}
    return {"s3_bucket": stub.bucket, "s3_key": stub.key}


def _unpublished(function: DeclaredFunction) -> dict[str, Json]:
    """Return what keeps a stub from being published as a version."""
    if function.may_have("publish"):
        return {"publish": False}
    return {}


def _description(live: LiveSettings) -> dict[str, Json]:
    """Return the description that says for whom the function is live, where there is one."""
    if live.description:
        return {"description": live.description}
    return {}


def _raised_timeout(function: DeclaredFunction, live: LiveSettings) -> dict[str, Json]:
    """Return the longer timeout of a function that is debugged; {} where it stays."""
    if function.is_named(live.debug) and function.debug_timeout > function.timeout:
        return {"timeout": function.debug_timeout}
    return {}


def override_document(substitutions: Mapping[str, Substitution]) -> dict[str, Json]:
    """Return the content of an override file for one module.

    `null` unsets an attribute. A `dynamic` block that repeats zero times removes a block.

    Args:
        substitutions: the changes, by the resource's address in that module
            (`aws_lambda_function.api`, `data.archive_file.code`); `LOCALS` for local values.
    """
    document: dict[str, Json] = {}
    for address, substitution in substitutions.items():
        block: dict[str, Json] = {
            **substitution.set,
            **dict.fromkeys(substitution.unset),
            **substitution.blocks,
        }
        if substitution.removed_blocks:
            nothing: Json = {"for_each": [], "content": {}}
            block["dynamic"] = dict.fromkeys(substitution.removed_blocks, nothing)
        if address == LOCALS:
            document["locals"] = block
            continue
        mode = "resource"
        if address.startswith("data."):
            mode = "data"
        kind, _, label = address.removeprefix("data.").partition(".")
        of_mode = as_object(document.setdefault(mode, {}))
        as_object(of_mode.setdefault(kind, {}))[label] = block
    return document


def alias_at_latest() -> Substitution:
    """Return the change that lets the invocations of an alias arrive at the stub."""
    return Substitution(set={"function_version": LATEST}, unset=(), removed_blocks=())
