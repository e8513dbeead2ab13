"""Lambda's control plane: updates that moto drops, triggers that moto would start Docker for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.utils import iso_8601_datetime_with_nanoseconds

from .errors import not_emulated


def other_triggers_say_that_they_are_missing() -> None:
    """For these moto would start Docker; a mapping that silently never fires would be a made-up success."""

    def refuse(what: str) -> Callable[..., None]:
        def refused(*args: object, **kwargs: object) -> None:
            del args, kwargs
            raise not_emulated(what)

        return refused

    LambdaBackend.create_event_source_mapping = refuse("event source mappings")  # type: ignore[assignment,method-assign] # the gap
    LambdaFunction.invoke = refuse("this trigger of a Lambda function")  # type: ignore[assignment,method-assign] # the gap


def functions_take_every_update() -> None:
    """What moto drops: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html."""
    update_configuration = LambdaFunction.update_configuration
    update_code = LambdaFunction.update_function_code

    def configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        if "Environment" in config_updates:
            config_updates["Environment"] = {"Variables": {}, **(config_updates["Environment"] or {})}
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
