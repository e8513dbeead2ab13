"""The configuration of a debug stack that was found by its tags: that of this checkout, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.tables import DebugStackConfig
from terralive_cli.configuration.values import Config
from terralive_cli.stages.looks import StackLook
from terralive_cli.stages.tagged import prefix_of
from terralive_stub.shared.json_documents import Json
from terralive_terraform.debug_stack.settings import DebugStackSettings

_CLASS = "class"


@dataclass(frozen=True, slots=True)
class StackConfig:
    """The configuration with which terralive works on a debug stack.

    Attributes:
        config: the configuration.
        is_own: whether the debug stack is one of this checkout's app, with its backend.
        reason: why terralive cannot work on it from here; "" where it can.
    """

    config: Config
    is_own: bool = False
    reason: str = ""


def stack_config(config: Config, look: StackLook, environ: Mapping[str, str]) -> StackConfig:
    """Return the configuration of a debug stack.

    One of this checkout's app has the checkout's own, with the backend of its stage. Every other
    one has that of its description: it is removed without its state, as `destroy` does without it.

    Args:
        config: the configuration of this folder.
        look: the debug stack.
        environ: the environment variables.

    Raises:
        ConfigurationError: see `loading.load`.
    """
    stack, items = look.stack, look.items
    source, owner = stack.source, stack.owner
    wishes: Mapping[str, Json] = {}
    if items.description is not None:
        source, owner = items.description.source, items.description.owner
        wishes = items.description.wishes
    named = replace(
        config,
        app=stack.stage.app,
        stage=stack.stage.stage,
        source=source,
        user=owner or config.user,
    )
    if (stack.stage.app, source) == (config.app, config.source):
        own = load(
            project=config.project,
            flags={"stage": stack.stage.stage},
            environ=environ,
            user=config.user,
        )
        named = replace(named, backend=own.backend, debug_stack=own.debug_stack)
        if _has_name(named, stack.name):
            return StackConfig(named, is_own=True)
    named = replace(named, backend=None)
    if wishes.get(_CLASS):
        reason = f"it has resources of the class {wishes[_CLASS]}, which only its checkout has"
        return StackConfig(named, reason=reason)
    prefix = prefix_of(stack, (config.debug_stack.name_prefix, "terralive"))
    if prefix is None:
        return StackConfig(named, reason=f"the prefix of the name {stack.name} is not known")
    demands = _demands(wishes, prefix)
    return StackConfig(replace(named, debug_stack=demands))


def _has_name(config: Config, name: str) -> bool:
    """Tell whether the names of a configuration are those of a debug stack."""
    prefix = config.debug_stack.name_prefix
    settings = DebugStackSettings.for_names(config.app, config.stage, prefix)
    return name in ("", settings.name())


def _demands(wishes: Mapping[str, Json], prefix: str) -> DebugStackConfig:
    """Return the demands that a debug stack was deployed with."""
    known = {item.name for item in fields(DebugStackConfig)}
    values = {name: value for name, value in wishes.items() if name in known}
    return DebugStackConfig(**{**values, "name_prefix": prefix})  # type: ignore[arg-type]  # its own
