"""The decision whether a debug stack that exists may be used from here. Pure.

It is made before anything is created, where Terraform's state of the debug stack is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.joining.description import StackDescription
from terralive_stub.errors import ConfigurationError, StageHeldError
from terralive_stub.shared.json_documents import Json

# The output with the repository of the stub's image; none where there is none.
IMAGE_REPOSITORY: Final = "image_repository"
# Tags of every resource of a debug stack: `DebugStackSettings.all_tags`.
_APP: Final = "terralive:app"
_STAGE: Final = "terralive:stage"
_SOURCE: Final = "terralive:source"
_OWNER: Final = "terralive:owner"
_CREATED: Final = "terralive:created"
_VERSION: Final = "terralive:version"


@dataclass(frozen=True, slots=True)
class Project:
    """This checkout.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        source: the project (`configuration/source.py`).
        version: terralive's version.
        protocol: its version of the wire protocol.
        wishes: the demands on the debug stack, by their keys in terralive.toml.
        place: the account and region, for a person.
        needs_images: whether functions need the stub as a container image.
    """

    app: str
    stage: str
    source: str
    version: str
    protocol: int
    wishes: Mapping[str, Json]
    place: str
    needs_images: bool = False


def may_join(project: Project, found: StackDescription) -> bool:
    """Tell whether a debug stack is used as it is; False: its settings have to be changed before.

    Raises:
        StageHeldError: `debug-stack-differs`: another version has deployed it with other settings.
        ConfigurationError: `debug-stack-version`: it speaks another protocol.
    """
    if found.protocol != project.protocol:
        raise ConfigurationError(
            "debug-stack-version",
            f"The debug stack of {found.app}/{found.stage} in {project.place} speaks protocol "
            f"{found.protocol}, and terralive {project.version} here speaks {project.protocol}. "
            f"It was {_made_by(found)}.",
            hint=f"Install terralive {found.version}, or agree with {found.owner} on a newer one: "
            "`terralive destroy`, then `terralive start`. Or use a stage of your own (`--stage`).",
        )
    differing = [f"[debug_stack] {name}" for name in found.differing_wishes(project.wishes)]
    if project.needs_images and not found.outputs.get(IMAGE_REPOSITORY):
        differing.append("it has no repository for container images")
    if not differing:
        return True
    if found.version != project.version:
        raise StageHeldError(
            "debug-stack-differs",
            f"The debug stack of {found.app}/{found.stage} in {project.place} was "
            f"{_made_by(found)}, with other settings: {', '.join(differing)}. This is terralive "
            f"{project.version}.",
            hint=f"Use the same settings in terralive.toml ([debug_stack]), or install terralive "
            f"{found.version}, or use a stage of your own (`--stage`).",
        )
    return False


def require_own_stack(project: Project, found: StackDescription) -> None:
    """Check that a debug stack belongs to this project.

    Raises:
        StageHeldError: `debug-stack-of-another-source`.
    """
    _require_own(project, found.app, found.stage, found.source, _made_by(found))


def require_own_tags(project: Project, name: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Check that resources belong to this project's debug stack, where it is not described.

    Args:
        project: this checkout.
        name: the name of the debug stack.
        tags: the tags of each resource that was found.

    Raises:
        StageHeldError: `debug-stack-of-another-source`; `debug-stack-name-taken`.
    """
    for own in tags:
        if _APP not in own:
            raise StageHeldError(
                "debug-stack-name-taken",
                f"In {project.place}, something that terralive has not made has the name of a "
                f"resource of the debug stack {name}.",
                hint="Choose another name: `--stage`, or [debug_stack] name_prefix in "
                "terralive.toml.",
            )
        made_by = (
            f"deployed by {own.get(_OWNER)} on {own.get(_CREATED)} with terralive "
            f"{own.get(_VERSION)}"
        )
        _require_own(project, own.get(_APP, ""), own.get(_STAGE, ""), own.get(_SOURCE, ""), made_by)


def _require_own(project: Project, app: str, stage: str, source: str, made_by: str) -> None:
    if (app, stage, source) == (project.app, project.stage, project.source):
        return
    raise StageHeldError(
        "debug-stack-of-another-source",
        f"In {project.place}, the names of {project.app}/{project.stage} belong to the debug stack "
        f"of {app}/{stage} from {source}. It was {made_by}. This project is {project.source}.",
        hint="Use another stage (`--stage`), or set `app` in terralive.toml. If both are the same "
        f'project under two addresses, write `source = "{source}"` into terralive.toml.',
    )


def _made_by(found: StackDescription) -> str:
    return f"deployed by {found.owner} on {found.created} with terralive {found.version}"
