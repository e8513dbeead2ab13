"""The settings that put the stub in the place of functions: its zip, its images, ARNs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.app.live_plan import LivePlan
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.stub_bucket import StubBucket
from terralive_cli.deploy.target import Stage, Target, aws_providers
from terralive_cli.functions.debugging import Debugging
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.warnings import images_in
from terralive_cli.images.stage_images import StageImages
from terralive_cli.live.stage_stub import arn_prefix, coordinates, stub_zip
from terralive_cli.output.progress import Phase
from terralive_stub.shared.arns import partition_of, place_of
from terralive_terraform.addresses import without_keys
from terralive_terraform.artifacts import Artifact, StubObject
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.evaluation.planned import PlannedFunction, planned_arns
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, is_stub, live_description
from terralive_terraform.substitution.rules import LiveSettings

_log: Final = logging.getLogger("terralive.cli")
_PROVIDER: Final = "aws"
_AGAIN: Final = "#"
# The debug stack's outputs before it is deployed: the app is planned with them to find mistakes.
_NOT_YET: Final = "not-deployed-yet"
_NOT_DEPLOYED: Final = DebugStackOutputs(_NOT_YET, _NOT_YET, _NOT_YET, _NOT_YET)


class StubSettings:
    """The stub of a stage, as a zip and as container images.

    Args:
        stage: the stage.
        debugging: the functions to debug.
    """

    def __init__(self, stage: Stage, debugging: Debugging) -> None:
        self._stage = stage
        self._debugging = debugging
        # The images are named while the app is planned, and pushed before it is applied.
        self._images = StageImages(
            stage.target.caller,
            stage.config.stub_image_base,
            has_registry=stage.target.sandbox is None,
        )

    def live(
        self,
        outputs: DebugStackOutputs | None,
        *,
        architectures: Iterable[str],
        arns: Mapping[str, str],
        exclude: Sequence[str] = (),
        by_file: Sequence[str] = (),
        deployed: Mapping[str, DeployedFunction] | None = None,
    ) -> LiveSettings:
        """Return the settings that make functions live.

        Args:
            outputs: those of the debug stack; None before it is deployed.
            architectures: those of the functions that are container images.
            arns: the ARNs of functions, by address.
            exclude: the addresses of functions that stay as they are.
            by_file: the addresses of functions that cannot get the stub's zip from S3.
            deployed: the functions of Terraform's state, by address.
        """
        config = self._stage.config
        known = outputs or _NOT_DEPLOYED
        stub = stub_zip(self._stage, known)
        return LiveSettings(
            stub_zip=stub.path,
            stub_hash=stub.sha256_base64,
            exclude=tuple(exclude),
            debug=self._debugging.names,
            image_stub=self._image_stub(known, frozenset(architectures), arns),
            description=live_description(StageName(config.app, config.stage)),
            stub_object=_object(known, stub),
            by_file=tuple(by_file),
            code_hashes=code_hashes(deployed or {}, stub.sha256_base64),
        )

    def _image_stub(
        self, outputs: DebugStackOutputs, architectures: frozenset[str], arns: Mapping[str, str]
    ) -> ImageStub | None:
        """Return the stub for container images; None where no function needs one."""
        own = self._stage.config.stub_images
        if not own and not architectures:
            return None
        images = images_in(self._stage.target.region, own)
        for architecture in sorted(architectures - images.keys()):
            images[architecture] = self._images.name(outputs.image_repository, architecture)
        return ImageStub(
            images=images,
            coordinates=coordinates(self._stage, outputs),
            arn_prefix=arn_prefix(self._stage),
            arns=arns,
            elsewhere={kind: name for kind, name in own.items() if "{region}" in name},
        )

    def push_images(self) -> None:
        """Push the stub's images, before functions use them."""
        names = self._images.pending
        if not names:
            return
        phase = Phase("image", self._stage.emit)
        with phase.step("push"):
            self._images.push(names, phase.note)

    @contextmanager
    def uploaded(self, plan: LivePlan, by_file: Collection[str]) -> Iterator[None]:
        """Upload the stub's zip for an apply that needs it; remove those of older stubs after it.

        Args:
            plan: the plan that is applied in the context.
            by_file: the addresses of functions that do not get the zip from S3.

        Raises:
            TerraliveError: see `StubBucket.upload`.
        """
        wanted = [item for item in plan.functions if not item.is_image]
        is_needed = any(item.address not in by_file for item in wanted)
        target = None
        if plan.outputs is not None and plan.ready.plan.has_changes and is_needed:
            stub = stub_zip(self._stage, plan.outputs)
            target = _object(plan.outputs, stub)
        if target is None:
            yield
            return
        bucket = StubBucket(self._stage.target.caller)
        with plan.ready.phase.step("upload"):
            bucket.upload(stub, target)
        yield
        bucket.remove_outdated(target)


def code_hashes(deployed: Mapping[str, DeployedFunction], stub_hash: str) -> dict[str, str]:
    """Return values of `source_code_hash` that differ from the stub's own, by address. Pure.

    Lambda's API may have put a function's own code back, and the state still names the stub's. The
    AWS provider would not update the code then. So the hash gets a number behind it, which the next
    plans keep: https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function

    Args:
        deployed: the functions of Terraform's state, by address.
        stub_hash: the Base64 SHA-256 of the stub's zip.
    """
    # The values in the state, by address without instance keys: one block has one value.
    kept: dict[str, set[str]] = {}
    replaced: dict[str, set[str]] = {}
    for address, function in deployed.items():
        known = function.code_hash
        if known.partition(_AGAIN)[0] != stub_hash:
            continue
        values = kept if is_stub(function.handler, function.description) else replaced
        values.setdefault(without_keys(address), set()).add(known)
    found: dict[str, str] = {}
    for address in kept.keys() | replaced.keys():
        wrong = replaced.get(address, set())
        numbered = (f"{stub_hash}{_AGAIN}{number}" for number in itertools.count(1))
        values_to_try = itertools.chain(sorted(kept.get(address, ())), [stub_hash], numbered)
        found[address] = next(value for value in values_to_try if value not in wrong)
    return {address: value for address, value in found.items() if value != stub_hash}


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that terralive acts as.

    Attributes:
        region: its region.
        profiles: the profiles with which a provider acts as the same identity; "" for none.
    """

    region: str
    profiles: frozenset[str]

    @classmethod
    def of(cls, target: Target, providers: Sequence[AwsProvider]) -> Identity:
        """Return the identity of a target. In a sandbox, all profiles are the sandbox's own."""
        profiles = {""}
        if target.sandbox is not None:
            profiles.update(item.profile for item in providers if item.profile is not None)
        elif "AWS_ACCESS_KEY_ID" not in target.environment:
            # Keys in the environment are terralive's, and not those of a provider with a profile.
            profiles.add(target.caller.session.profile_name)
        return cls(target.region, frozenset(profiles))


def _object(outputs: DebugStackOutputs, stub: Artifact) -> StubObject | None:
    """Return the stub's zip in the debug stack's bucket; None where there is no bucket."""
    if not outputs.stub_bucket:
        return None
    return StubObject.of(outputs.stub_bucket, stub)


def functions_by_file(
    evaluated: EvaluatedApp, providers: Sequence[AwsProvider], identity: Identity
) -> tuple[str, ...]:
    """Return the addresses, without instance keys, of functions that S3 cannot give the stub to.

    Lambda reads an object of its own region, as the caller of CreateFunction or UpdateFunctionCode:
    https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html. Only of a provider
    that acts as terralive's own caller is it certain that it may read the debug stack's bucket.

    Args:
        evaluated: the app without stubs.
        providers: the AWS providers of its root module.
        identity: terralive's own caller.
    """
    by_alias = {item.alias: item for item in providers}
    by_alias.setdefault("", AwsProvider(Path()))
    found: dict[str, None] = {}
    for function in evaluated.planned:
        name, _, alias = function.provider.partition(".")
        provider = None
        if name == _PROVIDER:
            provider = by_alias.get(alias)
        deployed = evaluated.deployed.functions.get(function.address)
        reason = _reason_for_file(function, provider, deployed, identity)
        if reason:
            _log.debug("%s gets the stub as a file: %s", function.address, reason)
            found[without_keys(function.address)] = None
    return tuple(found)


def _reason_for_file(
    function: PlannedFunction,
    provider: AwsProvider | None,
    deployed: DeployedFunction | None,
    identity: Identity,
) -> str:
    """Return the reason why a function cannot get the stub from S3; "" where it can."""
    if provider is None:
        return "its provider is not known"
    own_profile = provider.profile in identity.profiles
    if provider.role_arn != "" or not own_profile or provider.has_credentials:
        return "its provider may act as another identity than terralive"
    region = function.region or provider.region
    if deployed is not None:
        region = place_of(deployed.arn).region
    if region is None:
        return "its region is not known"
    if region not in {"", identity.region}:
        return f"it is in {region}"
    return ""


def known_arns(stage: Stage, directory: Path, evaluated: EvaluatedApp) -> dict[str, str]:
    """Return the ARNs of functions, by address: of deployed ones, and of ones to be deployed.

    Where only the default provider exists, and acts as the caller, a function's name tells its ARN.

    Args:
        stage: the stage.
        directory: the folder that Terraform runs in.
        evaluated: the app without stubs.
    """
    arns = evaluated.deployed_arns
    for provider in aws_providers(stage.config, directory):
        if provider.alias or provider.profile != "" or provider.role_arn != "":
            return arns
    target = stage.target
    planned = planned_arns(
        evaluated.planned,
        partition=partition_of(target.caller.arn),
        account=target.caller.account,
        region=target.region,
    )
    return {**planned, **arns}
