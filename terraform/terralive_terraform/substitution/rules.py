"""What puts the stub in a function's place: one rule set for both doors. Pure: values in, values out.

The rules are those of docs/ARCHITECTURE.md, "Substitution". The attributes that change are written
once, here; the CDKTF door sets them on constructs, the plain door writes them to an override file
(https://developer.hashicorp.com/terraform/language/files/override).
"""

from __future__ import annotations

import fnmatch
import json
import os.path
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_terraform.artifacts import STUB_HANDLER, STUB_RUNTIME
from terralive_terraform.documents import Json, section, text
from terralive_terraform.substitution.roles import names_set

LIVE_VARIABLE: Final = "TERRALIVE_LIVE"
# A layer's wrapper starts the runtime, so without its layer the stub would not start either:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
_WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
LONGEST_TIMEOUT: Final = 900
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
_ARCHITECTURE: Final = "x86_64"  # Lambda's default


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """One `aws_lambda_function` as its configuration says it; what only Terraform knows is "" or None.

    Attributes:
        address: its address in the root module, without an instance key:
            `module.orders.aws_lambda_function.api`.
        label: its name within its module: `api`.
        handler: the handler, where it is a literal.
        runtime: the runtime, where it is a literal.
        path: the absolute local code folder, where the configuration tells.
        timeout: seconds.
        function_name: the function's name, where it is a literal.
        package_type: `Zip` or `Image`; "" where it is no literal.
        architecture: `x86_64` or `arm64`; "" where it is no literal.
        attributes: the names of the attributes and blocks that are set.
        environment_names: the names of its environment variables, where they are literals.
        ignored: what `lifecycle.ignore_changes` names, also in part; `all` for everything.
        repeated: `count`, `for_each` or "".
        instanced: whether it, or a module around it, is repeated.
        provider: the provider alias it uses (`aws.eu`) or "".
        policies_owner: what owns all inline policies of its role, where its module tells, or "".
        queue_visibility: the shortest visibility timeout of the queues that it polls; see
            `triggers`.
        gateways: the types of the API Gateway integrations that call it.
    """

    address: str
    label: str
    handler: str = ""
    runtime: str = ""
    path: Path | None = None
    timeout: int = 3
    function_name: str = ""
    package_type: str = "Zip"
    architecture: str = _ARCHITECTURE
    attributes: frozenset[str] = frozenset()
    environment_names: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()
    repeated: str = ""
    instanced: bool = False
    provider: str = ""
    policies_owner: str = ""
    queue_visibility: int | None = None
    gateways: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether it surely is a container image: the provider would replace one by a zip, and all that hangs on it.

        https://github.com/hashicorp/terraform-provider-aws/issues/43636
        """
        unsaid = "package_type" not in self.attributes
        return self.package_type == "Image" or (unsaid and "image_uri" in self.attributes)

    @property
    def names(self) -> frozenset[str]:
        """Everything that somebody may call it."""
        return frozenset({self.address, self.function_name, self.label} - {""})

    def is_named(self, names: Iterable[str]) -> bool:
        return not self.names.isdisjoint(names)

    @property
    def debug_timeout(self) -> int:
        """How long an invocation may stand at a breakpoint: its timeout, raised as far as AWS lets it be.

        Lambda refuses a queue as a function's source whose visibility timeout is shorter than the
        function's own.
        """
        if {"timeout", "all"}.intersection(self.ignored):
            return self.timeout
        visibility = LONGEST_TIMEOUT if self.queue_visibility is None else self.queue_visibility
        return max(self.timeout, min(LONGEST_TIMEOUT, visibility))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A function that stays as it is, and why."""

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

    def selects(self, facts: FunctionFacts) -> bool:
        """Tell whether somebody wants this function live."""
        names = facts.names

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


def substitute(facts: FunctionFacts, live: LiveSettings) -> Substitution | Refusal:
    """Decide how a function becomes live, or why it cannot."""
    for name, reason in _REFUSED_ATTRIBUTES.items():
        if name in facts.attributes:
            return Refusal(facts.address, reason)
    image = live.stub_images.get(facts.architecture) if facts.is_image else None
    if facts.is_image and image is None:
        return Refusal(facts.address, _no_image(facts, live))
    ignored = sorted(_REPLACED.intersection(facts.ignored)) or (
        ["all"] if "all" in facts.ignored else []
    )
    if ignored:
        return Refusal(
            facts.address,
            f"its lifecycle ignores changes of {', '.join(ignored)}, so Terraform could not put its real code back; "
            "take that out of ignore_changes on the stages you develop on, or leave this function as it is",
        )
    if facts.policies_owner:
        return Refusal(
            facts.address,
            f"{facts.policies_owner} owns all inline policies of its role, and would remove the one that its stub "
            "needs; write them as aws_iam_role_policy, or leave this function as it is",
        )
    policy_label, policy = f"terralive_{facts.label}", _role_policy(facts, live.connect_arn)
    if image is not None:
        return Substitution(
            set={"image_uri": image, **_raised_timeout(facts, live)},
            unset=tuple(name for name in _HASHES if name in facts.attributes),
            removed_blocks=(),
            policy_label=policy_label,
            policy=policy,
            blocks={"image_config": [{"command": list(live.stub_arguments)}]},
        )
    keeps_layers = _WRAPPER in facts.environment_names
    unset: list[str] = [name for name in _UNSET if name in facts.attributes]
    if "layers" in facts.attributes and not keeps_layers:
        unset.append("layers")
    return Substitution(
        set={
            "filename": live.stub_zip.as_posix(),
            "source_code_hash": live.stub_hash,
            "handler": STUB_HANDLER,
            "runtime": STUB_RUNTIME,
            "package_type": "Zip",
            **_raised_timeout(facts, live),
        },
        unset=tuple(unset),
        removed_blocks=tuple(name for name in _REMOVED_BLOCKS if name in facts.attributes),
        policy_label=policy_label,
        policy=policy,
    )


def _no_image(facts: FunctionFacts, live: LiveSettings) -> str:
    if not live.stub_images:
        return _IMAGE
    known = ", ".join(sorted(live.stub_images))
    return (
        f"it is a container image for {facts.architecture or 'an architecture that only Terraform knows'}, and "
        f"[stub_image] in terralive.toml names the stub's image for {known} only"
    )


def _raised_timeout(facts: FunctionFacts, live: LiveSettings) -> dict[str, Json]:
    raised = facts.is_named(live.debug) and facts.debug_timeout > facts.timeout
    return {"timeout": facts.debug_timeout} if raised else {}


def _role_policy(facts: FunctionFacts, connect_arn: str) -> dict[str, Json]:
    """Allow `execute-api:Invoke` on the stubs' `$connect` and on nothing else.

    The role is found through the function, in whatever way the configuration names it; the policy
    carries the function's name, so functions that share a role do not share a policy.
    """
    function = f"aws_lambda_function.{facts.label}"
    attributes: dict[str, Json] = {}
    if facts.repeated == "for_each":
        attributes["for_each"] = f"${{{function}}}"
        function = "each.value"
    elif facts.repeated == "count":
        attributes["count"] = f"${{length({function})}}"
        function = f"{function}[count.index]"
    if facts.provider:
        attributes["provider"] = facts.provider
    allowed: Json = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": connect_arn}
    return {
        **attributes,
        "name": f"terralive-${{{function}.function_name}}",
        "role": f'${{reverse(split("/", {function}.role))[0]}}',
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


def _undecided(block: Mapping[str, Json]) -> set[str]:
    """Name what an expression may leave unset: registry modules pass every optional setting on as a variable.

    A function that does take signed code only is then refused by AWS itself
    (CodeVerificationFailedException).
    """
    signing = text(block, "code_signing_config_arn")
    passed_on = "${" in signing and "aws_lambda_code_signing_config." not in signing
    return {"code_signing_config_arn"} if passed_on else set()


def facts_from_block(address: str, block: Mapping[str, Json]) -> FunctionFacts:
    """Read the facts of a function from its block in Terraform's JSON syntax.

    What the Aspect or the light `Function` construct has noted under `//` goes before what the
    block says.
    """
    noted = section(section(block, "//"), "terralive")
    environment = _nested(block, "environment")
    ignored = _nested(block, "lifecycle").get("ignore_changes")
    timeout = noted.get("timeout", block.get("timeout"))
    path = text(noted, "path")
    return FunctionFacts(
        address=address,
        label=address.rpartition(".")[2],
        # A noted "" is what was not known of the real code; what stands in the block now is the
        # stub's.
        handler=literal(text(noted, "handler") if "handler" in noted else _handler(block)),
        runtime=literal(text(noted if "runtime" in noted else block, "runtime")),
        path=Path(path) if path else None,
        timeout=timeout if isinstance(timeout, int) else 3,
        function_name=literal(text(block, "function_name")),
        package_type=literal(text(block, "package_type") or "Zip"),
        architecture=_architecture(block.get("architectures")),
        attributes=frozenset(names_set(block)) - _undecided(block),
        environment_names=frozenset(section(environment, "variables")),
        ignored=tuple(
            _attribute(item)
            for item in (ignored if isinstance(ignored, list) else [ignored])
            if item
        ),
        repeated=next((name for name in ("count", "for_each") if block.get(name) is not None), ""),
        provider=_unquoted(block.get("provider")),
    )


def _handler(block: Mapping[str, Json]) -> str:
    """Give the handler; an image for one of Lambda's runtimes takes it as its command.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
    """
    command = _nested(block, "image_config").get("command")
    told = command[0] if isinstance(command, list) and len(command) == 1 else None
    return text(block, "handler") or (told if isinstance(told, str) else "")


def _architecture(value: Json) -> str:
    if value is None:
        return _ARCHITECTURE
    first = value[0] if isinstance(value, list) and len(value) == 1 else None
    return literal(first) if isinstance(first, str) else ""


def literal(value: str) -> str:
    """Give a text that no expression is part of, or ""."""
    return "" if re.search(r"[$%]\{", value) else value


def _nested(block: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = block.get(name)
    if isinstance(value, list):
        value = value[0] if value else {}
    return value if isinstance(value, dict) else {}


def _attribute(reference: Json) -> str:
    """Give the attribute or block that a reference is about.

    `image_config` of `image_config[0].command`.
    """
    return re.split(r"[.\[]", _unquoted(reference), maxsplit=1)[0]


def _unquoted(value: Json) -> str:
    return re.sub(r"^\$\{(.*)\}$", r"\1", value) if isinstance(value, str) else ""
