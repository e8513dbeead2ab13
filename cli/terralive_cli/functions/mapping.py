"""Mapping of the app's functions to local code. It looks at files, and changes nothing.

The settings in `[functions."…"]` take precedence over what the Terraform configuration says (the
archive that a function is deployed from, the `Function` construct). Where a plan has shown the
instances of a function, each one is mapped by itself.

One function never stops the others: a function whose code is not known, or whose settings name
something that does not exist, stays as it is, with a reason. All of this is found before anything
is deployed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_cli.configuration.source import repository_top
from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.configuration.values import FILE, Config
from terralive_cli.functions import code_checks, interpreters, reasons, typescript
from terralive_cli.functions.builds import archive_missing, build_lines
from terralive_cli.functions.image_code import ImageCode, image_code, with_image, with_other_images
from terralive_cli.layers.local import NO_LAYERS, LocalLayers
from terralive_cli.python.packages import with_packages
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import instance_key, without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import Build, LocalCode, LocalFunction, with_labels

_log: Final = logging.getLogger("terralive.cli")
_NO_SETTINGS: Final = FunctionSettings(pattern="")
NO_LAYERS_AT_ALL: Final[Mapping[str, LocalLayers]] = {}


@dataclass(frozen=True, slots=True)
class MappedFunction:
    """Local code of one function of the configuration.

    Attributes:
        code: the code by the function's address. Where the settings name instances, also by their
            pattern (`aws_lambda_function.worker["eu"]`); perhaps by patterns alone.
        by_settings: the same code by the pattern of the settings that it comes from; None for no
            settings.
        instances: the instances that a plan has shown, by address, each as if it were a function of
            its own; {} where nothing was planned. `code` has an entry for each.
        found_by: how the code of each instance was found.
        notes: what a user should know of the code of instances, by address.
    """

    code: Mapping[str, LocalCode]
    by_settings: Mapping[str | None, LocalCode]
    instances: Mapping[str, DeclaredFunction] = field(default_factory=dict)
    found_by: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mapped:
    """Local code of the app's functions.

    Attributes:
        functions: the functions with local code, by address.
        unmapped: address -> why there is no local code, and what to set.
        errors: the errors among these reasons, by address: something that is named does not exist.
    """

    functions: Mapping[str, MappedFunction]
    unmapped: Mapping[str, NotLive] = field(default_factory=dict)
    errors: Mapping[str, ConfigurationError] = field(default_factory=dict)

    @property
    def code(self) -> dict[str, LocalCode]:
        """All local code, by address or by the pattern of the settings."""
        found: dict[str, LocalCode] = {}
        for function in self.functions.values():
            found.update(function.code)
        return found

    @property
    def found_by(self) -> dict[str, str]:
        """The ways in which the code was found, by the keys of `code`."""
        found: dict[str, str] = {}
        for function in self.functions.values():
            found.update(function.found_by)
        return found

    @property
    def notes(self) -> dict[str, str]:
        """Notes for the user about the code, by the keys of `code`."""
        found: dict[str, str] = {}
        for function in self.functions.values():
            found.update(function.notes)
        return found

    def only(self, addresses: Collection[str]) -> Mapped:
        """Return the mapping of some of the functions."""
        kept = {name: item for name, item in self.functions.items() if name in addresses}
        return Mapped(kept, self.unmapped, self.errors)


def map_functions(
    config: Config,
    functions: Sequence[DeclaredFunction],
    located: reasons.Places = reasons.NO_PLACES,
    layers: Mapping[str, LocalLayers] = NO_LAYERS_AT_ALL,
) -> Mapped:
    """Find the local code of functions.

    Args:
        config: the configuration.
        functions: the functions.
        located: what a plan says of the code of their instances, by address with instance keys.
        layers: the layers of their instances, by address with instance keys.
    """
    found: dict[str, MappedFunction] = {}
    unmapped: dict[str, NotLive] = {}
    errors: dict[str, ConfigurationError] = {}
    for function in with_other_images(functions):
        address = function.address
        try:
            if function.instances is None:
                mapped = _mapped(config, function)
            else:
                mapped = _mapped_instances(config, function, function.instances, located, layers)
        except ConfigurationError as error:
            errors[address] = error
            reason = f"{error.message.rstrip('.')}. {error.hint}".strip()
            unmapped[address] = NotLive(address, reason)
            continue
        if isinstance(mapped, NotLive):
            unmapped[address] = mapped
        else:
            found[address] = mapped
    return Mapped(found, unmapped, errors)


def _mapped_instances(
    config: Config,
    function: DeclaredFunction,
    planned: Sequence[PlannedFunction],
    located: reasons.Places,
    layers: Mapping[str, LocalLayers],
) -> MappedFunction | NotLive:
    """Find the local code of each instance.

    Terraform changes all instances of a block in the same way, so a function is live with all of
    its instances, or stays as it is.

    Raises:
        ConfigurationError: the settings name something that does not exist.
    """
    code: dict[str, LocalCode] = {}
    instances: dict[str, DeclaredFunction] = {}
    found_by: dict[str, str] = {}
    for instance in planned:
        address, name = instance.address, instance.name or ""
        settings = config.function_for(address, name) or _NO_SETTINGS
        place = located.get(address)
        if settings.path is None and settings.build is None:
            place = _with_typescript(config, function, instance, place)
        alone = _alone(function, instance, place)
        program = reasons.started_by_wrapper(alone, settings, address)
        if program is not None:
            return _all_not_live(function, planned, located, program, address)
        own = _local_code(config, alone, address, name, layers.get(address, NO_LAYERS))
        if isinstance(own, NotLive):
            if settings.path is None and isinstance(place, CodeNotFound):
                to_add = reasons.lines_of_all(function, planned, located, address)
                own = reasons.of_place(place, to_add, alone, settings, own)
            return _all_not_live(function, planned, located, own, address)
        code[address] = own
        instances[address] = alone
        found_by[address] = reasons.found_by(settings, function, place)
        if alone.path is None:
            found_by[address] = _found_by_image(config, settings, alone, found_by[address], address)
    known = {at: place for at, place in located.items() if found_by.get(at) != FILE}
    notes = {**reasons.notes(function, planned, known), **typescript.notes(code)}
    notes = reasons.with_local_settings(notes, code)
    return MappedFunction(code, {}, instances, found_by, notes)


def _found_by_image(
    config: Config, settings: FunctionSettings, alone: DeclaredFunction, other: str, address: str
) -> str:
    """Return how the code of an image was found; `other` where nothing of an image tells it."""
    if not alone.is_image or settings.path is not None:
        return other
    return image_code(config.project, settings, alone, instance_key(address)).found_by


def _with_typescript(
    config: Config,
    function: DeclaredFunction,
    instance: PlannedFunction,
    place: FoundCode | CodeNotFound | None,
) -> FoundCode | CodeNotFound | None:
    """Return the TypeScript of code that is not built, if something here runs it.

    Otherwise, the reason also says what to install.
    """
    if not isinstance(place, CodeNotFound) or place.typescript is None:
        return place
    alone = _alone(function, instance, place.typescript)
    if isinstance(_local_code(config, alone, instance.address, instance.name or ""), LocalCode):
        return place.typescript
    return replace(place, reason=f"{place.reason.rstrip('.')}. {typescript.INSTALL}")


def _all_not_live(
    function: DeclaredFunction,
    planned: Sequence[PlannedFunction],
    located: reasons.Places,
    own: NotLive,
    address: str,
) -> NotLive:
    """Return the reason of one instance as that of its function."""
    reason = own.reason
    table = reasons.table_address(function, planned, located, address)
    if len(planned) > 1 and table == address:
        reason = f"{address}: {reason}"
    return replace(own, address=function.address, reason=reason)


def _alone(
    function: DeclaredFunction,
    instance: PlannedFunction,
    place: FoundCode | CodeNotFound | None,
) -> DeclaredFunction:
    """Return one instance of a function as if it were a function of its own."""
    path, handler = function.path, instance.unwrapped().handler
    if isinstance(place, FoundCode):
        path = place.path
        handler = place.handler or handler
    elif place is not None and not function.path_is_noted:
        path = None
    attributes = function.attributes
    if not instance.starts_otherwise:
        attributes -= {"image_config"}
    return replace(
        function,
        handler=handler,
        runtime=instance.runtime,
        attributes=attributes,
        function_name=instance.name,
        path=path,
        repeated=None,
        module_repeated=False,
        instances=None,
    )


def _mapped(config: Config, function: DeclaredFunction) -> MappedFunction | NotLive:
    """Find the local code of a function, and of those instances that have settings of their own.

    Raises:
        ConfigurationError: the settings name something that does not exist.
    """
    address, name = function.address, function.function_name or ""
    code: dict[str, LocalCode] = {}
    by_settings: dict[str | None, LocalCode] = {}
    special: tuple[FunctionSettings, ...] = ()
    if function.instanced:
        special = config.of_instances(address)
    general = _local_code(config, function, address, name)
    if isinstance(general, LocalCode):
        code[address] = general
        by_settings[_pattern(config, address, name)] = general
    elif not special:
        return general
    # Without general code, every instance needs settings of its own; `instances` checks that.
    for settings in special:
        own = _local_code(config, function, settings.pattern, "")
        if isinstance(own, NotLive):
            return own
        code[settings.pattern] = own
        by_settings[_pattern(config, settings.pattern, "")] = own
    return MappedFunction(code, by_settings)


def instances(
    config: Config,
    mapped: Mapped,
    functions: Sequence[DeclaredFunction],
    deployed: Mapping[str, DeployedFunction],
) -> tuple[LocalFunction, ...]:
    """Attach local code to each deployed function; `count` and `for_each` make several of one.

    Args:
        config: the configuration.
        mapped: the local code, as `map_functions` has found it.
        functions: the live functions.
        deployed: the deployed functions by address, also those that a plan creates.

    Raises:
        ConfigurationError: `instance-unmapped`; also what `map_functions` raises.
    """
    declared = {function.address: function for function in functions}
    found: list[LocalFunction] = []
    missing: list[str] = []
    for address, instance in deployed.items():
        name = instance.name
        function = declared.get(without_keys(address))
        if function is None:
            continue
        known = mapped.functions.get(function.address)
        code: LocalCode | NotLive | None = None
        if known is not None and address in known.instances:
            function = known.instances[address]
            if function.function_name == name:
                code = known.code[address]
        elif known is not None:
            code = known.by_settings.get(_pattern(config, address, name))
        if code is None:
            # The deployed name, which only Terraform's state knows, may select other settings.
            code = _local_code(config, function, address, name)
        if isinstance(code, NotLive):
            missing.append(f"{address}: {code.text}")
        else:
            found.append(
                code.deployed_as(name, address, arn=instance.arn, reserved=instance.reserved)
            )
    if missing:
        raise ConfigurationError(
            "instance-unmapped",
            "Some instances of the live functions have no local code.\n  " + "\n  ".join(missing),
            hint="Name it for each of them in terralive.toml; see docs/CONFIGURATION.md, "
            "[functions].",
        )
    return with_labels(found)


def _local_code(
    config: Config,
    function: DeclaredFunction,
    address: str,
    name: str,
    layers: LocalLayers = NO_LAYERS,
) -> LocalCode | NotLive:
    """Find the code of a function or of one of its instances.

    Raises:
        ConfigurationError: a setting names something that does not exist.
    """
    own = config.function_for(address, name)
    settings = own or _NO_SETTINGS
    image = ImageCode()
    if function.is_image:
        image = image_code(config.project, settings, function, instance_key(address))
        function = with_image(function, image)
    path = settings.path or function.path
    if path is None:
        return _unknown_code(settings, function, address, image)
    if _is_to_be_there(function, settings) and not path.is_dir():
        return archive_missing(config.project, address, path)
    general = config.function_for(function.address, function.function_name or "")
    if _handlers_may_differ(function) and own is general:
        # Settings for the function as a whole do not say which handler each instance has.
        return reasons.handlers_may_differ(function, address)
    decided = _decide(config.project, settings, function, address, path.resolve())
    if isinstance(decided, NotLive):
        return decided
    code = replace(decided, layers=layers.parts, also_watched=layers.watched)
    return _checked(config.project, code, settings)


def _unknown_code(
    settings: FunctionSettings, function: DeclaredFunction, address: str, image: ImageCode
) -> NotLive:
    """Return the reason of a function whose code is not known, with what its Dockerfile tells."""
    unknown = image.problem or "its local code is not known"
    if image.settings:
        return NotLive(address, unknown, lines=(f"[functions.'{address}']", *image.settings))
    return reasons.unknown_code(settings, function, address, unknown)


def _is_to_be_there(function: DeclaredFunction, settings: FunctionSettings) -> bool:
    """Tell whether the folder of the code was found by terralive, and nothing here builds it."""
    is_guess = settings.path is None and not (function.path_is_noted or function.is_image)
    return is_guess and settings.build is None and not reasons.needs_command(function, settings)


def _checked(project: Path, decided: LocalCode, settings: FunctionSettings) -> LocalCode | NotLive:
    """Check that what local code names exists, and find its programs.

    Raises:
        ConfigurationError: something that it names does not exist.
    """
    code_checks.require_folder(decided)
    code = code_checks.with_programs(decided, settings, project)
    code = with_packages(code, repository_top(project) or project)
    code_checks.require_handler(code)
    reason = code_checks.node_missing(code)
    if reason is not None:
        return NotLive(code.address, reason)
    reason = typescript.missing(code)
    if reason is not None:
        lines = build_lines(project, code.path)
        return NotLive(code.address, reason, lines=(f"[functions.'{code.address}']", *lines))
    _log.debug("%s runs %s in %s", code.address, code.handler or "its own program", code.path)
    return code


def _decide(
    project: Path, settings: FunctionSettings, function: DeclaredFunction, address: str, path: Path
) -> LocalCode | NotLive:
    """Combine settings and declaration into the local code, as far as both are known."""
    handler = settings.handler or function.handler or ""
    runtime = settings.runtime or function.runtime or ""
    if not settings.command:
        not_live = reasons.not_run_by_itself(function, address, runtime, handler)
        if not_live is not None:
            return not_live
    build = Build(settings.build, project) if settings.build else None
    return LocalCode(
        address=address,
        runtime=runtime,
        handler=handler,
        path=path,
        python=interpreters.python_of(project, path),
        node=interpreters.default_node() or interpreters.NO_NODE,
        command=settings.command,
        watch=settings.watch,
        build=build,
        max_workers=settings.max_workers,
        allow_variables=settings.allow_variables,
        variables=tuple(settings.env.items()),
        roots=settings.roots,
    )


def _handlers_may_differ(function: DeclaredFunction) -> bool:
    """Tell whether instances of a function may have different handlers.

    All instances of an image without `image_config` have the image's handler.
    """
    if not function.instanced or function.handler is not None:
        return False
    return not function.is_image or function.may_have("image_config")


def _pattern(config: Config, address: str, name: str) -> str | None:
    """Return the pattern of the settings that apply to a function; None for no settings."""
    settings = config.function_for(address, name)
    return settings.pattern if settings else None
