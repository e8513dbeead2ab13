"""Lambda's control plane: updates that moto drops, triggers that moto would start Docker for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import ImageConfig, LambdaAlias, LambdaBackend, LambdaFunction
from moto.core.utils import iso_8601_datetime_with_nanoseconds

from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.functions.destinations import DestinationError, Role, require


def other_triggers_say_that_they_are_missing() -> None:
    """For these moto would start Docker."""

    def refuse(what: str) -> Callable[..., None]:
        def refused(*args: object, **kwargs: object) -> None:
            del args, kwargs
            raise not_emulated(what)

        return refused

    LambdaFunction.invoke = refuse("this trigger of a Lambda function")  # type: ignore[assignment,method-assign] # the gap


def functions_take_every_update() -> None:
    """What moto drops.

    Https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html.
    """
    update_configuration = LambdaFunction.update_configuration
    update_code = LambdaFunction.update_function_code

    def configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        if "Environment" in config_updates:
            config_updates["Environment"] = {
                "Variables": {},
                **(config_updates["Environment"] or {}),
            }
        if "TracingConfig" in config_updates:
            self.tracing_config = config_updates["TracingConfig"]
        if "EphemeralStorage" in config_updates:
            self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
        if "KMSKeyArn" in config_updates:
            self.kms_key_arn = config_updates["KMSKeyArn"]
        self.last_modified = iso_8601_datetime_with_nanoseconds()
        return update_configuration(self, config_updates)

    def function_code(self: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if updated_spec.get("Architectures"):
            self.architectures = updated_spec["Architectures"]
        self.last_modified = iso_8601_datetime_with_nanoseconds()
        return update_code(self, updated_spec)

    LambdaFunction.update_configuration = configuration  # type: ignore[method-assign] # the gap
    LambdaFunction.update_function_code = function_code  # type: ignore[method-assign] # the gap


def images_have_settings() -> None:
    """What moto keeps as it was made, and shows where there is none.

    https://docs.aws.amazon.com/lambda/latest/api/API_ImageConfig.html
    """
    update_configuration = LambdaFunction.update_configuration
    get_configuration = LambdaFunction.get_configuration

    def updated(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        if "ImageConfig" in config_updates:
            self.image_config = ImageConfig(config_updates["ImageConfig"] or {})
        return update_configuration(self, config_updates)

    def described(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        found = get_configuration(self, on_create)
        if not any(self.image_config.response().values()):
            found.pop("ImageConfigResponse", None)
        return found

    LambdaFunction.update_configuration = updated  # type: ignore[method-assign] # the gap
    LambdaFunction.get_configuration = described  # type: ignore[method-assign] # the gap


def functions_have_dead_letter_queues() -> None:
    """What moto forgets: https://docs.aws.amazon.com/lambda/latest/api/API_DeadLetterConfig.html."""
    init = LambdaFunction.__init__
    update_configuration = LambdaFunction.update_configuration
    get_configuration = LambdaFunction.get_configuration

    def made(
        self: LambdaFunction,
        account_id: str,
        spec: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        settings = _dead_letter_config(str(spec.get("Role")), spec.get("DeadLetterConfig"))
        self.dead_letter_config = settings  # type: ignore[attr-defined] # the gap
        init(self, account_id, spec, *args, **kwargs)

    def updated(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        if "DeadLetterConfig" in config_updates:
            role = str(config_updates.get("Role") or self.role)
            self.dead_letter_config = _dead_letter_config(role, config_updates["DeadLetterConfig"])  # type: ignore[attr-defined] # the gap
        return update_configuration(self, config_updates)

    def described(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        config = getattr(self, "dead_letter_config", None)
        return {
            **get_configuration(self, on_create),
            **({"DeadLetterConfig": config} if config else {}),
        }

    LambdaFunction.__init__ = made  # type: ignore[method-assign] # the gap
    LambdaFunction.update_configuration = updated  # type: ignore[method-assign] # the gap
    LambdaFunction.get_configuration = described  # type: ignore[method-assign] # the gap


def _dead_letter_config(role: str, config: Mapping[str, str] | None) -> dict[str, str] | None:
    """Raises InvalidParameterValueException where the role may not send there, as Lambda does."""
    arn = (config or {}).get("TargetArn")
    if not arn:
        return None
    _require(
        role,
        arn,
        "The provided execution role does not have permissions to call {action} on {service}",
    )
    return {"TargetArn": arn}


def destinations_are_checked() -> None:
    """A config replaces the one before, and its destinations must be open to the function's role.

    https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
    """
    put = LambdaBackend.put_function_event_invoke_config

    def checked(self: LambdaBackend, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
        function = self.get_function(function_name)
        for kind in ("OnSuccess", "OnFailure"):
            arn = ((config.get("DestinationConfig") or {}).get(kind) or {}).get("Destination")
            if arn and ":lambda:" not in arn:
                _require(
                    str(function.role), arn,
                    "The function's execution role does not have permissions to call {action} on " + arn,
                )  # fmt: skip
        function.event_invoke_config.clear()
        return put(self, function_name, config)

    LambdaBackend.put_function_event_invoke_config = checked  # type: ignore[method-assign] # the gap


def aliases_have_one_version() -> None:
    """A weighted alias would always be its first version: the rest is refused.

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """
    for name in ("create_alias", "update_alias"):
        setattr(LambdaBackend, name, _unweighted(getattr(LambdaBackend, name)))


def _unweighted(write: Callable[..., LambdaAlias]) -> Callable[..., LambdaAlias]:
    def checked(
        self: LambdaBackend,
        *args: Any,
        routing_config: Any = None,
        **kwargs: Any,
    ) -> LambdaAlias:
        if (routing_config or {}).get("AdditionalVersionWeights"):
            raise not_emulated("aliases with more than one version")
        return write(self, *args, routing_config=routing_config, **kwargs)

    return checked


def _require(role: str, arn: str, message: str) -> None:
    service = arn.split(":")[2]
    if service not in {"sqs", "sns"}:
        raise not_emulated(f"{service} as a destination of asynchronous invocations")
    try:
        require(Role(role), arn)
    except DestinationError as error:
        action = {"sqs": "SendMessage", "sns": "Publish"}[service]
        raise InvalidParameterValueException(
            message.format(action=action, service=service.upper())
        ) from error
