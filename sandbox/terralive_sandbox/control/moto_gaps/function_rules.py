"""Lambda: what it refuses of a function's code and configuration, and moto takes.

Whatever is refused here was refused by AWS, in its words: what deploys here has to deploy there.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from botocore.model import StringShape
from botocore.session import Session
from moto.awslambda.exceptions import InvalidParameterValueException, ValidationException
from moto.awslambda.models import LambdaFunction

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, for functions that no
# managed instances run (botocore's model has their limits; its text has 1,800 seconds for the
# others, which no page of the guide knows).
_LIMITS = {"Timeout": (1, 900), "MemorySize": (128, 10_240)}
_ENVIRONMENT_BYTES = 4096
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_RESERVED = frozenset({
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
})  # fmt: skip
_ENVIRONMENT = "Lambda was unable to configure your environment variables because the environment variables you have "


def functions_are_checked() -> None:
    """Close the gap. Nothing of an update that is refused is kept."""
    init, set_code, update = (
        LambdaFunction.__init__, LambdaFunction._set_function_code, LambdaFunction.update_configuration,  # noqa: SLF001
    )  # fmt: skip

    def made(
        self: LambdaFunction,
        account_id: str,
        spec: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        _check(spec)
        init(self, account_id, spec, *args, **kwargs)

    def updated(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        _check(config_updates)
        return update(self, config_updates)

    def code_set(self: LambdaFunction, updated_spec: dict[str, Any]) -> None:
        before = {name: value for name, value in vars(self).items() if name.startswith("code")}
        code = dict(self.code)
        set_code(self, updated_spec)
        if not {"ZipFile", "S3Key"} & set(updated_spec):
            return
        try:
            zipfile.ZipFile(io.BytesIO(self.code_bytes)).close()
        except zipfile.BadZipFile as error:
            vars(self).update(before, code=code)
            message = (
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            )
            raise InvalidParameterValueException(message) from error

    LambdaFunction.__init__ = made  # type: ignore[method-assign] # the gap
    LambdaFunction.update_configuration = updated  # type: ignore[method-assign] # the gap
    LambdaFunction._set_function_code = code_set  # type: ignore[method-assign] # noqa: SLF001 - the gap


@cache
def _runtimes() -> tuple[str, ...]:
    """As botocore's model lists them; read when the first function needs it."""
    shape = cast("StringShape", Session().get_service_model("lambda").shape_for("Runtime"))
    return tuple(shape.enum)


def _check(given: Mapping[str, Any]) -> None:
    for name, (least, most) in _LIMITS.items():
        value = given.get(name)
        if value is not None and not least <= value <= most:
            bound = (
                f"greater than or equal to {least}"
                if value < least
                else f"less than or equal to {most}"
            )
            raise ValidationException(
                str(value), name[0].lower() + name[1:], f"Member must have value {bound}"
            )
    runtime = given.get("Runtime")
    if runtime and runtime not in _runtimes():
        message = (
            f"Value {runtime} at 'runtime' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_runtimes())}] or be a valid ARN"
        )
        raise InvalidParameterValueException(message)
    variables = (given.get("Environment") or {}).get("Variables") or {}
    if reserved := [name for name in variables if name in _RESERVED]:
        message = (
            f"{_ENVIRONMENT}provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
        raise InvalidParameterValueException(message)
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if variables and len(measured.encode()) > _ENVIRONMENT_BYTES:
        raise InvalidParameterValueException(
            f"{_ENVIRONMENT}provided exceeded the 4KB limit. String measured: {measured}"
        )
