"""What puts the stub in a function's place: one rule set for both doors. Pure: values in, values out.

The rules are those of docs/ARCHITECTURE.md, "Substitution". The attributes that change are written
once, here; the CDKTF door sets them on constructs, the plain door writes them to an override file
(https://developer.hashicorp.com/terraform/language/files/override).
"""

from __future__ import annotations

import fnmatch
import json
import os.path
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_terraform.artifacts import STUB_HANDLER, STUB_RUNTIME
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.documents import Json

LIVE_VARIABLE: Final = "TERRALIVE_LIVE"
# A layer's wrapper starts the runtime, so without its layer the stub would not start either:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
_WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"
_UNSET: Final = ("s3_bucket", "s3_key", "s3_object_version", "image_uri", "code_sha256")
_HASHES: Final = ("source_code_hash", "code_sha256")
_REMOVED_BLOCKS: Final = ("image_config", "snap_start")
_REPLACED: Final = frozenset(
    {
        "filename",
        "source_code_hash",
        "handler",
        "runtime",
        "package_type",
        "layers",
        *_UNSET,
        *_REMOVED_BLOCKS,
    }
)
_REFUSED_ATTRIBUTES: Final[Mapping[str, str]] = {
    "code_signing_config_arn": "it takes signed code only (code_signing_config_arn), and the stub is not signed",
    "durable_config": "it is a durable function, whose executions outlive an invocation",
    "capacity_provider_config": "it runs on managed instances, several invocations at a time in one environment",
}

_IMAGE: Final = (
    "it is deployed as a container image, and only another image can take that one's place: build terralive's stub as "
    "one and name it ([stub_image] in terralive.toml, docs/CONFIGURATION.md says how), or leave this function as it is"
)


@dataclass(frozen=True, slots=True)
class NotLive:
    """A function that cannot become live and stays as it is, and the reason."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What makes functions live.

    Attributes:
        stub_zip: the stub's zip.
        stub_hash: its base64 SHA-256.
        connect_arn: what stubs may invoke: the ARN of `$connect` at the debug stack's door for
            stubs.
        only: globs of addresses or function names; empty for all.
        exclude: globs of those that stay as they are.
        debug: addresses or names of those whose timeout is raised.
        stub_images: the stub as a container image, by architecture (`x86_64`, `arm64`).
        stub_arguments: what such an image is told: the arguments of `terralive_stub.container`.
    """

    stub_zip: Path
    stub_hash: str
    connect_arn: str
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    debug: tuple[str, ...] = ()
    stub_images: Mapping[str, str] = field(default_factory=dict)
    stub_arguments: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "stub_zip": str(self.stub_zip)}, sort_keys=True)

    @classmethod
    def from_json(cls, content: str) -> LiveSettings:
        document = json.loads(content)
        return cls(
            stub_zip=Path(document["stub_zip"]),
            stub_hash=document["stub_hash"],
            connect_arn=document["connect_arn"],
            only=tuple(document["only"]),
            exclude=tuple(document["exclude"]),
            debug=tuple(document["debug"]),
            stub_images=dict(document["stub_images"]),
            stub_arguments=tuple(document["stub_arguments"]),
        )

    def seen_from(self, directory: Path) -> LiveSettings:
        """Name the zip as Terraform sees it from the folder it runs in, also for modules.

        The path becomes part of the state: one that differs between two checkouts would be a
            change.
        """
        return replace(self, stub_zip=Path(os.path.relpath(self.stub_zip, directory)))

    def selects(self, function: DeclaredFunction) -> bool:
        """Tell whether somebody wants this function live."""
        names = function.names

        def matches(globs: Iterable[str]) -> bool:
            return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs)

        return (not self.only or matches(self.only)) and not matches(self.exclude)


@dataclass(frozen=True, slots=True)
class Substitution:
    """How one function becomes live.

    Attributes:
        set: attributes that get a value.
        unset: attributes that go.
        removed_blocks: nested blocks that go.
        blocks: nested blocks that take the place of any of their type.
        policy_label: the name of the role policy that lets the stub connect.
        policy: that policy's attributes.
    """

    set: Mapping[str, Json]
    unset: tuple[str, ...]
    removed_blocks: tuple[str, ...]
    policy_label: str
    policy: Mapping[str, Json] = field(repr=False)
    blocks: Mapping[str, Json] = field(default_factory=dict)


def substitute(function: DeclaredFunction, live: LiveSettings) -> Substitution | NotLive:
    """Decide how a function becomes live, or why it cannot."""
    for name, reason in _REFUSED_ATTRIBUTES.items():
        if name in function.attributes:
            return NotLive(function.address, reason)
    image = _stub_image(function, live)
    if function.is_image and image is None:
        return NotLive(function.address, _no_image(function, live))
    ignored = sorted(_REPLACED.intersection(function.ignored)) or (
        ["all"] if "all" in function.ignored else []
    )
    if ignored:
        return NotLive(
            function.address,
            f"its lifecycle ignores changes of {', '.join(ignored)}, so Terraform could not put its real code back; "
            "take that out of ignore_changes on the stages you develop on, or leave this function as it is",
        )
    if function.policies_owner:
        return NotLive(
            function.address,
            f"{function.policies_owner} owns all inline policies of its role, and would remove the one that its stub "
            "needs; write them as aws_iam_role_policy, or leave this function as it is",
        )
    policy_label, policy = f"terralive_{function.label}", _role_policy(function, live.connect_arn)
    if image is not None:
        return Substitution(
            set={"image_uri": image, **_raised_timeout(function, live)},
            unset=tuple(name for name in _HASHES if name in function.attributes),
            removed_blocks=(),
            policy_label=policy_label,
            policy=policy,
            blocks={"image_config": [{"command": list(live.stub_arguments)}]},
        )
    keeps_layers = _WRAPPER in function.environment_names
    unset: list[str] = [name for name in _UNSET if name in function.attributes]
    if "layers" in function.attributes and not keeps_layers:
        unset.append("layers")
    return Substitution(
        set={
            "filename": live.stub_zip.as_posix(),
            "source_code_hash": live.stub_hash,
            "handler": STUB_HANDLER,
            "runtime": STUB_RUNTIME,
            "package_type": "Zip",
            **_raised_timeout(function, live),
        },
        unset=tuple(unset),
        removed_blocks=tuple(name for name in _REMOVED_BLOCKS if name in function.attributes),
        policy_label=policy_label,
        policy=policy,
    )


def _stub_image(function: DeclaredFunction, live: LiveSettings) -> str | None:
    """Return the stub's image for a function that is one; None where there is none."""
    if not function.is_image or function.architecture is None:
        return None
    return live.stub_images.get(function.architecture)


def _no_image(function: DeclaredFunction, live: LiveSettings) -> str:
    if not live.stub_images:
        return _IMAGE
    known = ", ".join(sorted(live.stub_images))
    return (
        f"it is a container image for {function.architecture or 'an architecture that only Terraform knows'}, and "
        f"[stub_image] in terralive.toml names the stub's image for {known} only"
    )


def _raised_timeout(function: DeclaredFunction, live: LiveSettings) -> dict[str, Json]:
    raised = function.is_named(live.debug) and function.debug_timeout > function.timeout
    return {"timeout": function.debug_timeout} if raised else {}


def _role_policy(function: DeclaredFunction, connect_arn: str) -> dict[str, Json]:
    """Allow `execute-api:Invoke` on the stubs' `$connect` and on nothing else.

    The role is found through the function, in whatever way the configuration names it; the policy
    carries the function's name, so functions that share a role do not share a policy.
    """
    resource = f"aws_lambda_function.{function.label}"
    attributes: dict[str, Json] = {}
    if function.repeated == "for_each":
        attributes["for_each"] = f"${{{resource}}}"
        resource = "each.value"
    elif function.repeated == "count":
        attributes["count"] = f"${{length({resource})}}"
        resource = f"{resource}[count.index]"
    if function.provider:
        attributes["provider"] = function.provider
    allowed: Json = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": connect_arn}
    return {
        **attributes,
        "name": f"terralive-${{{resource}.function_name}}",
        "role": f'${{reverse(split("/", {resource}.role))[0]}}',
        "policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]}, sort_keys=True),
    }


def override_document(substitutions: Mapping[str, Substitution]) -> dict[str, Json]:
    """Write an override file's content for one module: substitutions by their function's name in it.

    `null` unsets an attribute; a block goes with a `dynamic` that repeats it zero times.
    """
    functions: dict[str, Json] = {}
    for label, substitution in substitutions.items():
        block: dict[str, Json] = {
            **substitution.set,
            **dict.fromkeys(substitution.unset),
            **substitution.blocks,
        }
        if substitution.removed_blocks:
            block["dynamic"] = {
                name: {"for_each": [], "content": {}} for name in substitution.removed_blocks
            }
        functions[label] = block
    return {"resource": {"aws_lambda_function": functions}} if functions else {}


def added_document(substitutions: Mapping[str, Substitution]) -> dict[str, Json]:
    """Write what stands beside the override file, which cannot add a resource: the role policies."""
    policies: dict[str, Json] = {
        item.policy_label: dict(item.policy) for item in substitutions.values()
    }
    return {"resource": {"aws_iam_role_policy": policies}} if policies else {}
