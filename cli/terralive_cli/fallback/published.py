"""Published versions of a function, compared with its `$LATEST`. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.rules import LATEST

# What a function's configuration has beside its code, and what a stub does not change.
_KEPT_BY_STUBS: Final = (
    "Role",
    "MemorySize",
    "KMSKeyArn",
    "TracingConfig",
    "DeadLetterConfig",
    "EphemeralStorage",
    "FileSystemConfigs",
)
# What a stub changes, or may change.
_REPLACED: Final = ("CodeSha256", "PackageType", "Runtime", "Handler", "Timeout", "Architectures")
# Values that Lambda may leave out, and what that means.
_DEFAULTS: Final[Mapping[str, Json]] = {
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "Architectures": ["x86_64"],
    "PackageType": "Zip",
}
# Lambda allows 256 characters:
# https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
_LONGEST: Final = 256
_DESCRIPTION: Final = "terralive: app {app}, stage {stage}: the code that was replaced"
_OWN_FOLLOWS: Final = ". Its description: "
_TOO_LONG: Final = ". Its description is too long to be kept here."
_OWN: Final = re.compile(
    r"terralive: app (?P<app>[\w-]+), stage (?P<stage>[\w-]+): the code that was replaced"
    r"(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Published:
    """What Lambda says of a function and of its published versions (`ListVersionsByFunction`).

    Attributes:
        latest: the configuration of `$LATEST`.
        versions: the configurations of the published versions, the newest first.
    """

    latest: Mapping[str, Json] = field(repr=False)
    versions: tuple[Mapping[str, Json], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, configurations: Sequence[Mapping[str, Json]]) -> Published:
        """Sort the configurations of a function's versions, `$LATEST` among them."""
        latest: Mapping[str, Json] = {}
        versions: list[Mapping[str, Json]] = []
        for item in configurations:
            if text(item, "Version") == LATEST:
                latest = item
            else:
                versions.append(item)
        versions.sort(key=lambda item: int(text(item, "Version")), reverse=True)
        return cls(latest, tuple(versions))

    def equal_to_latest(self) -> tuple[Mapping[str, Json], ...]:
        """Return the versions with the code and the configuration of `$LATEST`, newest first."""
        return tuple(item for item in self.versions if is_equal(item, self.latest))

    def version(self, number: str) -> Mapping[str, Json] | None:
        """Return the configuration of a version; None where there is no such version."""
        for item in self.versions:
            if text(item, "Version") == number:
                return item
        return None

    def made_for(self, stage: StageName) -> tuple[str, ...]:
        """Return the numbers of the versions that terralive has published for a stage."""
        return tuple(text(item, "Version") for item in self.versions if stage_of(item) == stage)


def description(stage: StageName, own: str = "") -> str:
    """Return the description of a version that terralive publishes.

    Args:
        stage: the stage that it is for.
        own: the function's own description, which the version keeps where there is room for it.
    """
    found = _DESCRIPTION.format(app=stage.app, stage=stage.stage)
    if not own:
        return found
    complete = f"{found}{_OWN_FOLLOWS}{own}"
    if len(complete) <= _LONGEST:
        return complete
    return f"{found}{_TOO_LONG}"


def own_description(description: str) -> str | None:
    """Return a function's own description, as one of its versions tells it.

    It is None where the version does not: its own description was too long.

    Args:
        description: the description of the version; that of another's version is returned as it is.
    """
    found = _OWN.fullmatch(description)
    if found is None:
        return description
    rest = found["rest"]
    if not rest:
        return ""
    if rest.startswith(_OWN_FOLLOWS):
        return rest.removeprefix(_OWN_FOLLOWS)
    return None


def stage_of(version: Mapping[str, Json]) -> StageName | None:
    """Return the stage for which terralive has published a version; None for another version."""
    found = _OWN.fullmatch(text(version, "Description"))
    if found is None:
        return None
    return StageName(found["app"], found["stage"])


def is_equal(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Tell whether two configurations have the same code and behave in the same way.

    The description does not count, nor what Lambda says of their state. It is false where Lambda
    cannot tell their environment variables.
    """
    if _differs_in(one, other, _REPLACED) or stale_settings(one, other):
        return False
    if _layers(one) != _layers(other) or _snap_start(one) != _snap_start(other):
        return False
    image = section(section(one, "ImageConfigResponse"), "ImageConfig")
    return image == section(section(other, "ImageConfigResponse"), "ImageConfig")


def stale_settings(version: Mapping[str, Json], latest: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the settings in which a version differs from a function that carries a stub.

    What a stub changes does not count: its code, handler, runtime, layers and timeout. A function's
    environment that Lambda cannot read differs.
    """
    found = list(_differs_in(version, latest, _KEPT_BY_STUBS))
    one, other = section(version, "Environment"), section(latest, "Environment")
    is_unknown = bool(section(one, "Error") or section(other, "Error"))
    if is_unknown or section(one, "Variables") != section(other, "Variables"):
        found.append("Environment")
    if _vpc(version) != _vpc(latest):
        found.append("VpcConfig")
    return tuple(found)


def has_snap_start(function: Mapping[str, Json]) -> bool:
    """Tell whether Lambda takes a snapshot of each version that is published.

    https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
    """
    return _snap_start(function) == "PublishedVersions"


def _differs_in(
    one: Mapping[str, Json], other: Mapping[str, Json], names: Sequence[str]
) -> tuple[str, ...]:
    return tuple(name for name in names if _value(one, name) != _value(other, name))


def _value(function: Mapping[str, Json], name: str) -> Json:
    """Return a setting; Lambda writes an unset one as null, as empty, or not at all."""
    return function.get(name) or _DEFAULTS.get(name)


def _layers(function: Mapping[str, Json]) -> list[str]:
    return [text(item, "Arn") for item in items(function, "Layers") if isinstance(item, dict)]


def _snap_start(function: Mapping[str, Json]) -> str:
    return text(section(function, "SnapStart"), "ApplyOn") or "None"


def _vpc(function: Mapping[str, Json]) -> list[list[str]]:
    config = section(function, "VpcConfig")
    names = ("SubnetIds", "SecurityGroupIds")
    return [sorted(str(item) for item in items(config, name)) for name in names]
