"""The settings that put the stub in the place of functions: its zip, its images, ARNs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage, aws_providers
from terralive_cli.functions.debugging import Debugging
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.warnings import images_in
from terralive_cli.images.stage_images import StageImages
from terralive_cli.live.stage_stub import arn_prefix, coordinates, stub_zip
from terralive_cli.output.progress import Phase
from terralive_stub.shared.arns import partition_of
from terralive_terraform.evaluation.planned import planned_arns
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_terraform.substitution.rules import LiveSettings

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
    ) -> LiveSettings:
        """Return the settings that make functions live.

        Args:
            outputs: those of the debug stack; None before it is deployed.
            architectures: those of the functions that are container images.
            arns: the ARNs of functions, by address.
            exclude: the addresses of functions that stay as they are.
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


def known_arns(stage: Stage, directory: Path, evaluated: EvaluatedApp) -> dict[str, str]:
    """Return the ARNs of functions, by address: of deployed ones, and of ones to be deployed.

    Where only the default provider exists, and acts as the caller, a function's name tells its ARN.

    Args:
        stage: the stage.
        directory: the folder that Terraform runs in.
        evaluated: the app without stubs.
    """
    arns = {address: item.arn for address, item in evaluated.deployed.functions.items()}
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
