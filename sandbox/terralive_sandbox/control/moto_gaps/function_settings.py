"""Lambda: settings of functions that moto drops or makes up."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.responses import ActionResult

from terralive_sandbox.functions.logs import LOGGING_CONFIG, logging_config

_VPC = "terralive_vpc"


def functions_say_how_they_are_set() -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html.

    Where a function logs to, the VPC that its subnets are in, and a reserved concurrency of none at
    all.
    """
    init, update, describe = (
        LambdaFunction.__init__, LambdaFunction.update_configuration, LambdaFunction.get_configuration,
    )  # fmt: skip
    get_code = LambdaFunction.get_code

    def made(
        self: LambdaFunction,
        account_id: str,
        spec: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        init(self, account_id, spec, *args, **kwargs)
        _log_to(self, spec.get("LoggingConfig") or {})
        vars(self)[_VPC] = _vpc_of(self)

    def updated(self: LambdaFunction, changes: dict[str, Any]) -> dict[str, Any]:
        if changes.get("LoggingConfig"):
            _log_to(self, changes["LoggingConfig"])
        update(self, changes)
        vars(self)[_VPC] = _vpc_of(self)
        return self.get_configuration()

    def described(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        return {
            **describe(self, on_create),
            "LoggingConfig": logging_config(self),
            "VpcConfig": _vpc_config(self),
        }

    def code(self: LambdaFunction) -> dict[str, Any]:
        found = get_code(self)
        if self.reserved_concurrency is not None:
            found["Concurrency"] = {"ReservedConcurrentExecutions": int(self.reserved_concurrency)}
        return found

    LambdaFunction.__init__ = made  # type: ignore[method-assign] # the gap
    LambdaFunction.update_configuration = updated  # type: ignore[assignment,method-assign] # the gap
    LambdaFunction.get_configuration = described  # type: ignore[method-assign] # the gap
    LambdaFunction.get_code = code  # type: ignore[method-assign] # the gap


def event_invoke_configs_change_and_are_listed() -> None:
    """An update leaves alone what it does not name, and a list has the time as a number, as the other answers do.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionEventInvokeConfig.html
    """

    def update(self: LambdaResponse) -> ActionResult:
        name = unquote(self.path.rsplit("/", 2)[1])
        before = self.backend.get_function_event_invoke_config(name)
        kept = {
            key: value
            for key, value in before.items()
            if key not in {"FunctionArn", "LastModified"}
        }
        return ActionResult(
            self.backend.put_function_event_invoke_config(name, {**kept, **self.json_body})
        )

    def every(self: LambdaResponse) -> ActionResult:
        return ActionResult(
            self.backend.list_function_event_invoke_configs(unquote(self.path.rsplit("/", 3)[1]))
        )

    LambdaResponse.update_function_event_invoke_config = update  # type: ignore[method-assign,assignment] # the gap
    LambdaResponse.list_function_event_invoke_configs = every  # type: ignore[method-assign,assignment] # the gap


def _log_to(function: LambdaFunction, config: dict[str, Any]) -> None:
    group = config.get("LogGroup") or f"/aws/lambda/{function.function_name}"
    function.logs_group_name = group
    vars(function)[LOGGING_CONFIG] = {"LogFormat": "Text", **config, "LogGroup": group}


def _vpc_of(function: LambdaFunction) -> str:
    """Raises EC2's InvalidSubnetID.NotFound."""
    config = function._vpc_config  # noqa: SLF001 - the gap
    if not config or not config.get("SubnetIds"):
        return ""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - half a second and 20 MB that few functions need

    subnets = ec2_backends[function.account_id][function.region].describe_subnets(
        subnet_ids=config["SubnetIds"]
    )
    return str(subnets[0].vpc_id)


def _vpc_config(function: LambdaFunction) -> dict[str, Any] | None:
    vpc: str = vars(function)[_VPC]
    defaults = {"Ipv6AllowedForDualStack": False}
    return {**defaults, **function._vpc_config, "VpcId": vpc} if vpc else None  # type: ignore[dict-item] # noqa: SLF001
