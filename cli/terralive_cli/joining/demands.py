"""What a stage and its terralive.toml demand of the debug stack."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from importlib.metadata import version

from terralive_cli.deploy.target import Stage
from terralive_cli.joining.decision import Project
from terralive_stub.protocol.wire import VERSION as PROTOCOL
from terralive_stub.shared.arns import partition_of
from terralive_stub.shared.json_documents import Json
from terralive_terraform.debug_stack.settings import (
    BackendSettings,
    DebugStackSettings,
    ImageReaders,
)
from terralive_terraform.debug_stack.synth import CustomStack
from terralive_terraform.substitution.marker import StageName


def project_of(
    stage: Stage, settings: DebugStackSettings, *, needs_images: bool = False
) -> Project:
    """Return what the project of a stage expects of its debug stack.

    Args:
        stage: the stage.
        settings: the settings of the debug stack.
        needs_images: whether functions need the repository of the stub's image.
    """
    return Project(
        app=settings.app,
        stage=settings.stage,
        source=settings.source,
        version=settings.version,
        protocol=PROTOCOL,
        wishes=wishes_of(stage),
        place=stage.target.name,
        needs_images=needs_images,
    )


def wishes_of(stage: Stage) -> dict[str, Json]:
    """Return the demands of terralive.toml on the debug stack; its names are no demand."""
    demands = asdict(stage.config.debug_stack)
    del demands["name_prefix"]
    demands["class"] = demands.pop("class_")
    return demands


def custom_stack(stage: Stage) -> CustomStack | None:
    """Return the team's own subclass of `DebugStack`; None for terralive's."""
    path = stage.config.debug_stack.class_
    if path is None:
        return None
    return CustomStack(path, stage.config.project)


def table_name(stage: Stage) -> str:
    """Return the name of a stage's table, whether it exists or not."""
    return stack_settings(stage).name("connections")


def table_of(stage: Stage, other: StageName) -> str:
    """Return the name of another stage's table in the same account, as this stage names its own."""
    prefix = stage.config.debug_stack.name_prefix
    return DebugStackSettings.for_names(other.app, other.stage, prefix).name("connections")


def stack_settings(stage: Stage) -> DebugStackSettings:
    """Return the settings of the debug stack of a stage."""
    config = stage.config
    demands = asdict(config.debug_stack)
    del demands["class_"]
    backend = None
    # The sandbox's state is a file that is removed with the sandbox.
    if config.backend is not None and stage.target.sandbox is None:
        backend = BackendSettings(config.backend.type, config.backend.config)
    return DebugStackSettings(
        app=config.app,
        stage=config.stage,
        region=stage.target.region,
        owner=config.user,
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        version=version("terralive"),
        endpoints=stage.target.endpoints,
        account=stage.target.caller.account,
        identity_source=stage.target.identity_source,
        s3_path_style=stage.target.caller.has_own_endpoint,
        backend=backend,
        source=config.source,
        image_readers=_image_readers(stage),
        **demands,
    )


def _image_readers(stage: Stage) -> ImageReaders:
    """Return the accounts whose functions may be made of the stub's image."""
    caller = stage.target.caller
    others = {settings.account for settings in stage.config.account_settings}
    return ImageReaders(
        partition=partition_of(caller.arn),
        account=caller.account,
        others=tuple(sorted(others - {caller.account})),
    )
