"""Reads a version of a function, and changes a function's code and settings, by Lambda's API.

This is for functions that Terraform would not put right: it would deploy the code of the working
tree, or it ignores the code. Nothing else of a function is changed than its code and the settings
that a stub has replaced (`terralive_terraform.substitution.rules`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from terralive_cli.fallback.published import own_description
from terralive_cli.restoring.packages import NotDownloadedError, downloaded
from terralive_terraform.substitution.rules import LATEST

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

# Takes a zip file that is too large for a request; returns the arguments of UpdateFunctionCode that
# name it in S3. It raises NotPutBackError where that is not possible.
Upload: TypeAlias = Callable[[bytes], Mapping[str, str]]

_log: Final = logging.getLogger("terralive.cli")
# Larger zip files have to come from S3:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution
DIRECT_BYTES: Final = 50_000_000
_WAIT: Final[Any] = {"Delay": 1, "MaxAttempts": 300}


class NotPutBackError(Exception):
    """A function's code or settings cannot be put back. Its text is the reason."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a function that a stub replaces.

    Attributes:
        handler: its handler; "" for a container image, as is its runtime.
        runtime: its runtime.
        layers: the ARNs of its layers.
        description: its description.
        timeout: its timeout in seconds; 0 for the one that it has.
        snap_start: `PublishedVersions` or `None`.
        image_config: the settings of its container image by name, as Lambda names them; {} where
            the image's own hold. https://docs.aws.amazon.com/lambda/latest/api/API_ImageConfig.html
    """

    handler: str = ""
    runtime: str = ""
    layers: tuple[str, ...] = ()
    description: str = ""
    timeout: int = 0
    snap_start: str = "None"
    image_config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """A version of a function, as `GetFunction` describes it.

    Attributes:
        function: the function's ARN without a qualifier.
        version: the number of the version, or `$LATEST`.
        sha256: the Base64 SHA-256 of its code, as Lambda reports it.
        settings: its settings that a stub replaces.
        is_image: whether it is a container image.
        image: the name of the image; "" for a zip file.
        location: a link to the zip file, which works for everybody, for ten minutes; "" for images.
        code_bytes: the size of the zip file.
        kms_key: the ARN of the key that the zip file is encrypted with; "" for AWS's own.
        description: the function's own description; None if the version does not tell it.
    """

    function: str
    version: str
    sha256: str
    settings: Settings
    is_image: bool = False
    image: str = ""
    location: str = field(repr=False, default="")
    code_bytes: int = 0
    kms_key: str = ""
    description: str | None = ""


def read_version(client: LambdaClient, function: str, version: str = LATEST) -> FunctionVersion:
    """Read a version of a function.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html

    Args:
        client: the client of Lambda for the function's account and region.
        function: the function's ARN without a qualifier.
        version: the number of the version, or `$LATEST`.

    Raises:
        NotPutBackError: there is no such version, or AWS refuses the call.
    """
    with refusals():
        answer = client.get_function(FunctionName=function, Qualifier=version)
    code, configuration = answer["Code"], answer["Configuration"]
    return FunctionVersion(
        function=function,
        version=version,
        sha256=configuration.get("CodeSha256", ""),
        settings=settings_of(configuration),
        is_image=configuration.get("PackageType") == "Image",
        image=code.get("ImageUri", ""),
        location=code.get("Location", ""),
        code_bytes=configuration.get("CodeSize", 0),
        kms_key=code.get("SourceKMSKeyArn", ""),
        description=own_description(configuration.get("Description") or ""),
    )


def settings_of(configuration: Mapping[str, Any]) -> Settings:
    """Return the settings of a function's configuration, as Lambda describes it."""
    image = (configuration.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    snap_start = configuration.get("SnapStart") or {}
    return Settings(
        handler=configuration.get("Handler") or "",
        runtime=configuration.get("Runtime") or "",
        layers=tuple(layer["Arn"] for layer in configuration.get("Layers") or ()),
        # A version that terralive has published keeps the function's own one, if there is room.
        description=own_description(configuration.get("Description") or "") or "",
        timeout=configuration.get("Timeout", 0),
        snap_start=snap_start.get("ApplyOn", "None"),
        image_config={name: item for name, item in image.items() if item},
    )


def changes_of_settings(now: Settings, wanted: Settings) -> dict[str, Any]:
    """Return the arguments of UpdateFunctionConfiguration; {} where nothing differs. Pure.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
    """
    changes: dict[str, Any] = {}
    if wanted.handler and wanted.handler != now.handler:
        changes["Handler"] = wanted.handler
    if wanted.runtime and wanted.runtime != now.runtime:
        changes["Runtime"] = wanted.runtime
    if wanted.layers != now.layers:
        changes["Layers"] = list(wanted.layers)
    if wanted.description != now.description:
        changes["Description"] = wanted.description
    if wanted.timeout and wanted.timeout != now.timeout:
        changes["Timeout"] = wanted.timeout
    if wanted.snap_start != now.snap_start:
        changes["SnapStart"] = {"ApplyOn": wanted.snap_start}
    if wanted.image_config != now.image_config:
        changes["ImageConfig"] = dict(wanted.image_config)
    return changes


def update_settings(client: LambdaClient, function: str, changes: Mapping[str, Any]) -> None:
    """Change settings of a function, and wait until it has them; {} changes nothing.

    Raises:
        NotPutBackError: AWS refuses it.
    """
    if not changes:
        return
    with refusals():
        _wait_for_last_update(client, function)
        client.update_function_configuration(FunctionName=function, **changes)
        _wait(client, function)
    _log.debug("%s has got other settings: %s", function, ", ".join(sorted(changes)))


def update_code(client: LambdaClient, function: str, code: Mapping[str, Any]) -> None:
    """Give a function other code, and wait until it has it.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html

    Args:
        client: the client of Lambda for the function's account and region.
        function: the function's ARN without a qualifier.
        code: the arguments of UpdateFunctionCode.

    Raises:
        NotPutBackError: AWS refuses it.
    """
    with refusals():
        _wait_for_last_update(client, function)
        client.update_function_code(FunctionName=function, **code)
        _wait(client, function)
    _log.debug("%s has got other code", function)


def zip_arguments(data: bytes, upload: Upload) -> dict[str, Any]:
    """Return the arguments of UpdateFunctionCode for a zip file; upload it if it is large.

    Raises:
        NotPutBackError: it cannot be uploaded.
    """
    if len(data) > DIRECT_BYTES:
        return dict(upload(data))
    return {"ZipFile": data}


def put_version_back(
    client: LambdaClient,
    version: FunctionVersion,
    wanted: Callable[[Settings], Settings],
    upload: Upload,
    carried: str = "",
) -> None:
    """Give `$LATEST` the code of a version, and the settings that a stub has replaced.

    The code comes first: while the description is a stub's, a look at the function finds it, also
    where this is interrupted.

    Args:
        client: the client of Lambda for the function's account and region.
        version: the version.
        wanted: returns the settings that go back in the place of those that the function has.
        upload: takes zip files that are too large for a request.
        carried: the Base64 SHA-256 of the code that it had when the user agreed; "" for any.

    Raises:
        NotPutBackError: the code cannot be read, AWS refuses something, or somebody else has
            deployed other code meanwhile.
    """
    latest = read_version(client, version.function)
    if carried and latest.sha256 not in (carried, version.sha256):
        message = "its code has changed since it was looked at; run the command again"
        raise NotPutBackError(message)
    if latest.sha256 != version.sha256 or not latest.sha256:
        update_code(client, version.function, code_of(version, upload))
    changes = changes_of_settings(latest.settings, wanted(latest.settings))
    update_settings(client, version.function, changes)


def put_aliases_back(client: LambdaClient, function: str, aliases: Mapping[str, str]) -> None:
    """Point aliases at the versions that they named before. Those of other versions stay.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateAlias.html

    Raises:
        NotPutBackError: AWS refuses it.
    """
    with refusals():
        for name, version in sorted(aliases.items()):
            with suppress(client.exceptions.ResourceNotFoundException):
                alias = client.get_alias(FunctionName=function, Name=name)
                if alias["FunctionVersion"] == LATEST:
                    client.update_alias(FunctionName=function, Name=name, FunctionVersion=version)


def code_of(version: FunctionVersion, upload: Upload) -> dict[str, Any]:
    """Return the arguments of UpdateFunctionCode for the code of a version.

    Raises:
        NotPutBackError: the code cannot be read, or not be uploaded.
    """
    if version.is_image:
        return {"ImageUri": version.image}
    try:
        data = downloaded(version.location)
    except NotDownloadedError as error:
        raise NotPutBackError(str(error)) from None
    code = zip_arguments(data, upload)
    if version.kms_key:
        code["SourceKMSKeyArn"] = version.kms_key
    return code


def _wait_for_last_update(client: LambdaClient, function: str) -> None:
    """Wait for an update that may be under way. One that has failed is no obstacle."""
    from botocore.exceptions import WaiterError  # noqa: PLC0415  # heavy

    with suppress(WaiterError):
        _wait(client, function)


def _wait(client: LambdaClient, function: str) -> None:
    """Wait until the last update of a function is over.

    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    waiter = client.get_waiter("function_updated_v2")
    waiter.wait(FunctionName=function, WaiterConfig=_WAIT)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn errors of AWS and botocore into a NotPutBackError."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise NotPutBackError(str(error)) from None
