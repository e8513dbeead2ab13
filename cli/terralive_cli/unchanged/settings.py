"""Settings that a plan depends on beside files: options, environment, versions, the caller. Pure.

Every value is kept as a keyed hash, because variables and arguments may hold secrets. The key is
derived from the stage's secret, which is in no file.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.functions.debugging import Debugging

_KEY: Final = b"terralive unchanged start"
# What these say has no effect on a plan. Regions are compared as the caller's region.
_WITHOUT_EFFECT: Final = (
    "allow_protected",
    "debug",
    "download_layers",
    "forward_logs",
    "given_regions",
    "on_exit",
    "output",
    "region",
    "stub_check_seconds",
    "yes",
)
# Variables of Terraform and of AWS's SDKs. Credentials are renewed all the time: the caller counts.
_VARIABLE: Final = re.compile(r"(TF|AWS)_\w+")
_NOT_COMPARED: Final = re.compile(
    r"TF_LOG\w*|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN|\w*EXPIRATION)"
)
# `assumed-role/NAME/SESSION`: tools give every session another name.
_ASSUMED_ROLE: Final = re.compile(r"(:assumed-role/[^/]+)/.*")


@dataclass(frozen=True, slots=True)
class Situation:
    """The settings of one start.

    Attributes:
        config: the configuration.
        debugging: the functions to debug.
        environment: the environment of Terraform.
        versions: the versions of terralive and Terraform, by their names.
        caller: the caller's ARN.
        place: account and region, for a person.
        workspace: the selected workspace; "" for none.
    """

    config: Config
    debugging: Debugging
    environment: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str]
    caller: str
    place: str
    workspace: str = ""


def settings_of(situation: Situation, secret: bytes) -> dict[str, str]:
    """Return a keyed hash of each setting, by its name for a person.

    Args:
        situation: the settings.
        secret: the stage's secret.
    """
    config = situation.config
    values: dict[str, str] = {}
    for item in fields(Config):
        if item.name not in _WITHOUT_EFFECT:
            name = item.name.rstrip("_").replace("_", "-")
            values[f"the setting `{name}`"] = repr(getattr(config, item.name))
    for name, value in situation.environment.items():
        if _VARIABLE.fullmatch(name) and not _NOT_COMPARED.fullmatch(name):
            values[f"the environment variable {name}"] = value
    for name, value in situation.versions.items():
        values[f"the version of {name}"] = value
    values["the functions of --debug"] = repr(situation.debugging)
    values["the caller"] = _ASSUMED_ROLE.sub(r"\1", situation.caller)
    values["the account or region"] = situation.place
    values["the workspace"] = situation.workspace
    key = hmac.new(secret, _KEY, hashlib.sha256).digest()
    return {name: _hashed(key, value) for name, value in values.items()}


def first_change(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return the name of a setting that differs; None where none does."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return name
    return None


def _hashed(key: bytes, value: str) -> str:
    return hmac.new(key, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
