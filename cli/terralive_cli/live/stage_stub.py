"""The stub's zip of a stage, and the stub as deployed functions carry it."""

from __future__ import annotations

from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.live.stub_check import Stub
from terralive_stub.shared.arns import partition_of
from terralive_terraform.artifacts import Artifact, StubCoordinates, build_stub_zip
from terralive_terraform.substitution.marker import StageName


def coordinates(stage: Stage, outputs: DebugStackOutputs) -> StubCoordinates:
    """Return the settings of a stage's stub."""
    config = stage.config
    return StubCoordinates(
        outputs.stub_url, config.app, config.stage, outputs.secret, arn_prefix(stage)
    )


def arn_prefix(stage: Stage) -> str:
    """Return the ARN of a function of the stage's account and region, without the name."""
    target = stage.target
    partition = partition_of(target.caller.arn)
    return f"arn:{partition}:lambda:{target.region}:{target.caller.account}:function:"


def stub_zip(stage: Stage, outputs: DebugStackOutputs) -> Artifact:
    """Build the stub's zip for a debug stack. The same settings give the same bytes."""
    return build_stub_zip(coordinates(stage, outputs), stage.target.work / "stub")


def stub_of(
    stage: Stage, outputs: DebugStackOutputs, at_handlers: frozenset[str] = frozenset()
) -> Stub:
    """Return the stub of a stage, as deployed functions carry it.

    Args:
        stage: the stage.
        outputs: those of its debug stack.
        at_handlers: the sums of its zips that stand at functions' own handlers.
    """
    name = StageName(stage.config.app, stage.config.stage)
    return Stub(stub_zip(stage, outputs).sha256_base64, outputs.stub_url, name, at_handlers)
