"""Settings of functions that moto drops or makes up."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import ImageConfig, LambdaFunction
from moto.core.utils import iso_8601_datetime_with_nanoseconds

from terralive_sandbox.control.moto_gaps.errors import api_error, not_emulated
from terralive_sandbox.functions.destinations import DestinationError, require
from terralive_sandbox.functions.invoke_api import TENANCY_CONFIG, isolates_tenants
from terralive_sandbox.functions.logs import LOGGING_CONFIG, logging_config

# The attribute of moto's function that has the id of its VPC, or "".
_VPC_ID: Final = "terralive_vpc"
_TENANT_MODES: Final = ("PER_TENANT",)
_DESTINATION_ACTIONS: Final = {"sqs": "SendMessage", "sns": "Publish"}


def apply_dropped_changes(function: LambdaFunction, changes: Mapping[str, Any]) -> None:
    """Apply what moto drops of an update of a function's configuration."""
    if "ImageConfig" in changes:
        function.image_config = ImageConfig(changes["ImageConfig"] or {})
    if "EphemeralStorage" in changes:
        function.ephemeral_storage = changes["EphemeralStorage"]["Size"]
    function.tracing_config = changes.get("TracingConfig", function.tracing_config)
    function.kms_key_arn = changes.get("KMSKeyArn", function.kms_key_arn)
    if changes.get("LoggingConfig"):
        set_logging(function, changes["LoggingConfig"])
    set_modified_now(function)


def described(function: LambdaFunction, configuration: dict[str, Any]) -> dict[str, Any]:
    """Complete moto's description of a function.

    Moto leaves out the dead-letter queue and the logging settings, makes up the VPC's id, and
    describes the settings of an image where there are none
    (https://docs.aws.amazon.com/lambda/latest/api/API_ImageConfig.html).
    """
    if not any(function.image_config.response().values()):
        configuration.pop("ImageConfigResponse", None)
    dead_letters = getattr(function, "dead_letter_config", None)
    if dead_letters:
        configuration["DeadLetterConfig"] = dead_letters
    if isolates_tenants(function):
        configuration["TenancyConfig"] = vars(function)[TENANCY_CONFIG]
    configuration["LoggingConfig"] = logging_config(function)
    configuration["VpcConfig"] = _vpc_config(function)
    return configuration


def set_tenancy(function: LambdaFunction, config: Mapping[str, Any] | None) -> None:
    """Set whether a function isolates its tenants, which never changes.

    https://docs.aws.amazon.com/lambda/latest/api/API_TenancyConfig.html

    Raises:
        JsonRESTError: the mode is none of Lambda's.
    """
    mode = (config or {}).get("TenantIsolationMode")
    if config and mode not in _TENANT_MODES:
        raise api_error(
            "ValidationException",
            f"1 validation error detected: Value '{mode}' at 'tenancyConfig.tenantIsolationMode' "
            "failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(_TENANT_MODES)}]",
            HTTPStatus.BAD_REQUEST,
        )
    vars(function)[TENANCY_CONFIG] = config


def set_modified_now(function: LambdaFunction) -> None:
    """Note the time of a change, which moto does not."""
    function.last_modified = iso_8601_datetime_with_nanoseconds()


def set_logging(function: LambdaFunction, config: Mapping[str, Any]) -> None:
    """Set the log group and format of a function; the default group has the function's name."""
    group = config.get("LogGroup") or f"/aws/lambda/{function.function_name}"
    function.logs_group_name = group
    vars(function)[LOGGING_CONFIG] = {"LogFormat": "Text", **config, "LogGroup": group}


def vpc_of(function: LambdaFunction, config: Mapping[str, Any] | None) -> str:
    """Return the id of the VPC that has the subnets of a function's settings, or "".

    Raises EC2's InvalidSubnetID.NotFound.
    """
    if not config or not config.get("SubnetIds"):
        return ""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - 0.5 s and 20 MB; few functions need it

    backend = ec2_backends[function.account_id][function.region]
    subnets = backend.describe_subnets(subnet_ids=config["SubnetIds"])
    return str(subnets[0].vpc_id)


def set_vpc(function: LambdaFunction, vpc_id: str) -> None:
    """Set the id of a function's VPC; "" for none."""
    vars(function)[_VPC_ID] = vpc_id


def _vpc_config(function: LambdaFunction) -> dict[str, Any] | None:
    vpc_id: str = vars(function)[_VPC_ID]
    config = function._vpc_config  # noqa: SLF001 - moto's property makes up the VPC's id
    if not vpc_id or not config:
        return None
    return {"Ipv6AllowedForDualStack": False, **config, "VpcId": vpc_id}


def dead_letter_config(role: str, config: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the setting to keep: where failed events go, if anywhere.

    https://docs.aws.amazon.com/lambda/latest/api/API_DeadLetterConfig.html

    Raises:
        InvalidParameterValueException: the function's role may not send there.
    """
    arn = (config or {}).get("TargetArn")
    if not arn:
        return None
    message = "The provided execution role does not have permissions to call {action} on {service}"
    _require_destination(role, arn, message)
    return {"TargetArn": arn}


def check_destinations(function: LambdaFunction, config: Mapping[str, Any]) -> None:
    """Check that a function's role may send to the destinations of its asynchronous invocations.

    Raises:
        InvalidParameterValueException: it may not.
    """
    destinations = config.get("DestinationConfig") or {}
    for kind in ("OnSuccess", "OnFailure"):
        arn = (destinations.get(kind) or {}).get("Destination")
        if arn and ":lambda:" not in arn:
            denial = "The function's execution role does not have permissions to call {action} on "
            _require_destination(str(function.role), arn, denial + arn)


def _require_destination(role: str, arn: str, message: str) -> None:
    """Raise Lambda's error unless a role may send to a queue or topic.

    `message` has places for `action` and `service`.
    """
    service = arn.split(":")[2]
    action = _DESTINATION_ACTIONS.get(service)
    if action is None:
        raise not_emulated(f"{service} as a destination of asynchronous invocations")
    try:
        require(role, arn)
    except DestinationError as error:
        text = message.format(action=action, service=service.upper())
        raise InvalidParameterValueException(text) from error
