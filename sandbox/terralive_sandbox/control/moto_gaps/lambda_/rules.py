"""Checks of a function's name, code and settings that moto does not have.

AWS refuses all of this, in these words. What can be deployed to the sandbox must be deployable to
AWS.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final, cast

from botocore.model import StringShape
from botocore.session import Session
from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import LambdaFunction, LayerVersion, lambda_backends
from moto.core.exceptions import JsonRESTError
from moto.s3.models import s3_backends

from terralive_sandbox.control.moto_gaps.errors import Bounds, api_error
from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.function_names import FunctionName, not_reachable
from terralive_sandbox.places import Place
from terralive_stub.protocol.limits import (
    ENVIRONMENT_BYTES,
    FUNCTION_TIMEOUT_SECONDS,
    LEAST_MEMORY_MB,
    MOST_MEMORY_MB,
)

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, for functions that do not
# run on managed instances (botocore's model has the limits of those; its text has 1,800 seconds for
# the others, which no page of the guide mentions).
_TIMEOUT: Final = Bounds(1, FUNCTION_TIMEOUT_SECONDS)
_MEMORY: Final = Bounds(LEAST_MEMORY_MB, MOST_MEMORY_MB)
# https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html#lambda-GetFunction-request-FunctionName
_NAME_CHARACTERS: Final = 64
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_RESERVED: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    }
)
_ENVIRONMENT_ERROR: Final = (
    "Lambda was unable to configure your environment variables because the environment variables "
    "you have provided "
)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check the settings of a request that creates or changes a function.

    Raises:
        JsonRESTError: a number is out of its bounds.
        InvalidParameterValueException: the runtime or an environment variable is not possible.
    """
    _TIMEOUT.check("timeout", settings.get("Timeout"))
    _MEMORY.check("memorySize", settings.get("MemorySize"))
    runtime = settings.get("Runtime")
    if runtime and runtime not in _runtimes():
        raise InvalidParameterValueException(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
            f"value set: [{', '.join(_runtimes())}] or be a valid ARN"
        )
    variables = (settings.get("Environment") or {}).get("Variables") or {}
    _check_environment(variables)


def check_zip(code: bytes) -> None:
    """Check that code is a zip file. Raises InvalidParameterValueException."""
    try:
        zipfile.ZipFile(io.BytesIO(code)).close()
    except zipfile.BadZipFile as error:
        raise InvalidParameterValueException(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error


def check_object(code: Mapping[str, Any], region: str) -> None:
    """Check that a function's code in S3, if it is there, exists in the function's region.

    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html

    Raises:
        InvalidParameterValueException: there is no such object, or it is in another region.
    """
    name = str(code.get("S3Bucket") or "")
    if not name:
        return
    _, account = s3_backends.bucket_accounts.get(name, ("", ""))
    if not account:
        raise _not_got("NoSuchBucket", "The specified bucket does not exist")
    backend = s3_backends[account]["aws"]
    bucket_region = backend.get_bucket(name).region_name
    if bucket_region != region:
        raise _not_got(
            "PermanentRedirect",
            f"The bucket is in this region: {bucket_region}. Please use this region to retry the "
            "request",
        )
    version = code.get("S3ObjectVersion")
    if backend.get_object(name, str(code.get("S3Key")), version) is None:
        raise _not_got("NoSuchKey", "The specified key does not exist.")


def _not_got(code: str, message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(
        f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
    )


def find_layer(function: LambdaFunction, arn: str) -> LayerVersion | None:
    """Return the layer version that a function names; None if another account publishes it.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html#lambda-CreateFunction-request-Layers

    Raises:
        InvalidParameterValueException: it is in another region, or does not exist.
    """
    place = Place.of(arn)
    if place.region != function.region:
        raise InvalidParameterValueException(
            f"Layer version {arn} is in the region {place.region} and the function in "
            f"{function.region}."
        )
    if place.account != function.account_id:
        return None
    backend = backend_of(lambda_backends, place)
    layer: LayerVersion | None = None
    if backend is not None:
        layer = backend.layers_versions_by_arn(arn)
    if layer is None:
        raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
    return layer


def function_name(text: str, region: str) -> FunctionName:
    """Read the name of a function in a request to a region.

    Raises:
        JsonRESTError: it is no name, or the name of a function in another region.
    """
    found = FunctionName.parse(text)
    if found is None:
        pattern = f"Member must satisfy regular expression pattern: {_name_pattern()}"
        raise _invalid_name(text, pattern)
    if len(found.name) > _NAME_CHARACTERS:
        length = f"Member must have length less than or equal to {_NAME_CHARACTERS}"
        raise _invalid_name(text, length)
    if found.place.region not in {"", region}:
        message = not_reachable(found.place.region, region)
        raise api_error("ResourceNotFoundException", message, HTTPStatus.NOT_FOUND)
    return found


def _invalid_name(text: str, constraint: str) -> JsonRESTError:
    return JsonRESTError(
        "ValidationException",
        f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy "
        f"constraint: {constraint}",
    )


@cache
def _name_pattern() -> str:
    """Return the pattern of functions' names in botocore's model."""
    shape = Session().get_service_model("lambda").shape_for("FunctionName")
    return str(shape.metadata["pattern"])


@cache
def _runtimes() -> tuple[str, ...]:
    """Return the runtimes of botocore's model, which is read when the first function needs it."""
    shape = cast("StringShape", Session().get_service_model("lambda").shape_for("Runtime"))
    return tuple(shape.enum)


def _check_environment(variables: Mapping[str, str]) -> None:
    reserved = [name for name in variables if name in _RESERVED]
    if reserved:
        raise InvalidParameterValueException(
            f"{_ENVIRONMENT_ERROR}contains reserved keys that are currently not supported for "
            f"modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > ENVIRONMENT_BYTES:
        raise InvalidParameterValueException(
            f"{_ENVIRONMENT_ERROR}exceeded the 4KB limit. String measured: {measured}"
        )
