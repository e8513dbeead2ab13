"""The extensions of AWS that are served on this machine, and the functions that have them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from terralive_workers.function import LocalFunction

_LAYER: Final = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:[\w-]+:layer:(?P<name>[\w-]+):\d+")


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that answers handlers on a port of localhost.

    Attributes:
        name: its name in messages.
        layer: a part of the names of its layers.
        port: the port that it listens on where no variable names another one.
        port_variable: the environment variable that names the port.
    """

    name: str
    layer: str
    port: int
    port_variable: str


# https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html
PARAMETERS_AND_SECRETS: Final = Extension(
    "AWS Parameters and Secrets Lambda Extension",
    "Parameters-and-Secrets-Lambda-Extension",
    2773,
    "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
)
# https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-lambda-extensions.html
APPCONFIG: Final = Extension(
    "AWS AppConfig Agent Lambda extension",
    "AWS-AppConfig-Extension",
    2772,
    "AWS_APPCONFIG_EXTENSION_HTTP_PORT",
)
_SERVED: Final = (PARAMETERS_AND_SECRETS, APPCONFIG)


def extension_of(arn: str) -> Extension | None:
    """Return the extension that a layer version brings; None where it is not served here."""
    match = _LAYER.fullmatch(arn)
    if match is None:
        return None
    for extension in _SERVED:
        if extension.layer in match["name"]:
            return extension
    return None


def extensions_of(function: LocalFunction) -> tuple[Extension, ...]:
    """Return the extensions that are served for a function.

    A port that the project's configuration sets for local runs belongs to a program of the user's.
    """
    own = {name for name, _ in function.variables}
    brought = {extension_of(part.arn) for part in function.layers}
    return tuple(item for item in _SERVED if item in brought and item.port_variable not in own)
