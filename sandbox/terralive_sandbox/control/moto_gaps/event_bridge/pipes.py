"""EventBridge Pipes: moto keeps pipes, the sandbox's pollers run them.

https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_CreatePipe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.pipes.models import EventBridgePipesBackend, Pipe, pipes_backends

from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.control.moto_gaps.lambda_.mappings import starts
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.event_source_mappings.settings import SourceKind, kind_of
from terralive_sandbox.triggers.pipes.settings import (
    SOURCE_BLOCKS,
    TARGETS,
    PipeSettings,
    service_of,
    settings_of,
)
from terralive_stub.shared.json_documents import Json, section

# An attribute of moto's pipe: the index of the first record that is read, by shard.
_START = "terralive_start"


def declare(replacements: Replacements, pollers: MappingPollers) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        pollers: run the pipes; they get all pipes after every change.
    """
    moto_create = EventBridgePipesBackend.create_pipe
    moto_update = EventBridgePipesBackend.update_pipe
    moto_delete = EventBridgePipesBackend.delete_pipe

    def create_pipe(self: EventBridgePipesBackend, **given: Any) -> Pipe:
        kind = _require_emulated(given["source"], given["target"], given["enrichment"])
        pipe = moto_create(self, **given)
        parameters = section(pipe.source_parameters or {}, SOURCE_BLOCKS[kind])
        # A pipe starts where it was created, not where its poller has begun to run.
        vars(pipe)[_START] = starts(pipe.source, kind, parameters)
        pollers.pipes_changed(tuple(_every_setting()))
        return pipe

    def update_pipe(self: EventBridgePipesBackend, **given: Any) -> Pipe:
        pipe = self.pipes.get(given["name"])
        if pipe is not None:
            target = given["target"] or pipe.target
            _require_emulated(pipe.source, target, given["enrichment"] or pipe.enrichment)
        pipe = moto_update(self, **given)
        pollers.pipes_changed(tuple(_every_setting()))
        return pipe

    def delete_pipe(self: EventBridgePipesBackend, name: str) -> Pipe:
        pipe = moto_delete(self, name)
        pollers.pipes_changed(tuple(_every_setting()))
        return pipe

    def start_pipe(self: EventBridgePipesBackend, name: str) -> Pipe:
        return set_state(self, name, "RUNNING")

    def stop_pipe(self: EventBridgePipesBackend, name: str) -> Pipe:
        return set_state(self, name, "STOPPED")

    def set_state(self: EventBridgePipesBackend, name: str, state: str) -> Pipe:
        pipe = self.describe_pipe(name)
        pipe.desired_state = state
        pollers.pipes_changed(tuple(_every_setting()))
        return pipe

    def advance(self: Pipe) -> None:
        """Let a pipe be in the state that it should have. Moto starts every pipe, even again."""
        self.status = self.desired_state

    replacements.replace(EventBridgePipesBackend, "create_pipe", create_pipe)
    replacements.replace(EventBridgePipesBackend, "update_pipe", update_pipe)
    replacements.replace(EventBridgePipesBackend, "delete_pipe", delete_pipe)
    replacements.replace(EventBridgePipesBackend, "start_pipe", start_pipe)
    replacements.replace(EventBridgePipesBackend, "stop_pipe", stop_pipe)
    replacements.replace(Pipe, "advance", advance)


def _require_emulated(source: str, target: str, enrichment: str | None) -> SourceKind:
    """Return the kind of a pipe's source.

    Raises:
        JsonRESTError: the sandbox does not run such a pipe.
    """
    kind = kind_of(source)
    if kind is None:
        raise not_emulated(f"{service_of(source)} as a source of EventBridge Pipes")
    if service_of(target) not in TARGETS:
        raise not_emulated(f"{service_of(target)} as a target of EventBridge Pipes")
    if enrichment and service_of(enrichment) != "lambda":
        raise not_emulated(f"{service_of(enrichment)} as an enrichment of EventBridge Pipes")
    return kind


def _every_setting() -> Iterable[PipeSettings]:
    """Yield the settings of all pipes of all accounts and regions."""
    for account in list(pipes_backends.values()):
        for backend in list(account.values()):
            for pipe in backend.pipes.values():
                kind = kind_of(pipe.source)
                if kind is None:
                    continue
                for shard, start in vars(pipe)[_START].items():
                    yield settings_of(pipe.arn, _described(pipe), kind, shard=shard, start=start)


def _described(pipe: Pipe) -> dict[str, Json]:
    """Return a pipe with the names of the API."""
    return {
        "Name": pipe.name,
        "Source": pipe.source,
        "SourceParameters": pipe.source_parameters,
        "Enrichment": pipe.enrichment,
        "EnrichmentParameters": pipe.enrichment_parameters,
        "Target": pipe.target,
        "TargetParameters": pipe.target_parameters,
        "RoleArn": pipe.role_arn,
        "DesiredState": pipe.desired_state,
    }
