"""Replaces methods of moto's Lambda: functions, names, code, asynchronous settings, aliases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import LambdaAlias, LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.responses import ActionResult

from terralive_sandbox.control.moto_gaps.errors import not_emulated, not_emulated_method
from terralive_sandbox.control.moto_gaps.lambda_ import (
    concurrency,
    function_urls,
    mappings,
    rules,
    settings,
    versions,
)
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.functions.environments.layers import LAYERS
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers

# The path of a request about one function.
_FUNCTION_PATH: Final = re.compile(r"(?P<version>/[^/]+/functions/)(?P<name>[^/]+)(?P<rest>.*)")


def declare(
    replacements: Replacements,
    pollers: MappingPollers,
    limit: int,
    code_link: Callable[[LambdaFunction], str],
) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        pollers: run event source mappings; they get every change.
        limit: how many executions an account may have at once in a region.
        code_link: returns the link to a function's code.
    """
    _replace_names(replacements)
    _replace_functions(replacements)
    _replace_code(replacements, code_link)
    _replace_layers(replacements)
    _replace_event_invoke_configs(replacements)
    _replace_aliases(replacements)
    concurrency.declare(replacements, limit)
    function_urls.declare(replacements)
    mappings.declare(replacements, pollers)
    versions.declare(replacements)


def _replace_names(replacements: Replacements) -> None:
    """Let every request name a function by its name, its ARN or a part of its ARN.

    Moto does not know parts of ARNs, some of its methods do not know ARNs, and none of them reads
    the region in an ARN. They get the name, with the version or alias.
    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html#lambda-GetFunction-request-FunctionName
    """
    moto_setup = LambdaResponse.setup_class
    moto_create = LambdaBackend.create_function

    def setup_class(self: LambdaResponse, *args: Any, **kwargs: Any) -> None:
        moto_setup(self, *args, **kwargs)
        found = _FUNCTION_PATH.fullmatch(self.path)
        if found is not None:
            name = rules.function_name(unquote(found["name"]), self.region)
            self.path = f"{found['version']}{name.short}{found['rest']}"

    def create_function(self: LambdaBackend, spec: dict[str, Any]) -> LambdaFunction:
        name = rules.function_name(str(spec["FunctionName"]), self.region_name)
        return moto_create(self, {**spec, "FunctionName": name.short})

    replacements.replace(LambdaResponse, "setup_class", setup_class)
    replacements.replace(LambdaBackend, "create_function", create_function)


def _replace_functions(replacements: Replacements) -> None:
    """Check settings of functions, and keep those that moto drops.

    A request that is refused changes nothing.
    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
    """
    moto_init = LambdaFunction.__init__
    moto_update = LambdaFunction.update_configuration
    moto_get_configuration = LambdaFunction.get_configuration

    def initialise(
        self: LambdaFunction, account_id: str, spec: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        rules.check_settings(spec)
        role = str(spec.get("Role"))
        dead_letter_config = settings.dead_letter_config(role, spec.get("DeadLetterConfig"))
        moto_init(self, account_id, spec, *args, **kwargs)
        self.dead_letter_config = dead_letter_config  # type: ignore[attr-defined] # moto lacks it
        settings.set_tenancy(self, spec.get("TenancyConfig"))
        settings.set_logging(self, spec.get("LoggingConfig") or {})
        settings.set_vpc(self, settings.vpc_of(self, self._vpc_config))

    def update_configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> object:
        changes = config_updates
        # Checks first, so that nothing is kept of a request that is refused.
        rules.check_settings(changes)
        role = str(changes.get("Role") or self.role)
        dead_letter_config = settings.dead_letter_config(role, changes.get("DeadLetterConfig"))
        vpc = settings.vpc_of(self, changes.get("VpcConfig", self._vpc_config))
        # What moto drops
        if "DeadLetterConfig" in changes:
            self.dead_letter_config = dead_letter_config  # type: ignore[attr-defined] # moto lacks it
        settings.apply_dropped_changes(self, changes)
        settings.set_vpc(self, vpc)
        # What moto keeps
        if "Environment" in changes:
            changes["Environment"] = {"Variables": {}, **(changes["Environment"] or {})}
        return moto_update(self, changes)

    def get_configuration(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        return settings.described(self, moto_get_configuration(self, on_create))

    # Moto would start Docker.
    invoke = not_emulated_method("this trigger of a Lambda function")
    replacements.replace(LambdaFunction, "__init__", initialise)
    replacements.replace(LambdaFunction, "update_configuration", update_configuration)
    replacements.replace(LambdaFunction, "get_configuration", get_configuration)
    replacements.replace(LambdaFunction, "invoke", invoke)


def _replace_code(replacements: Replacements, code_link: Callable[[LambdaFunction], str]) -> None:
    """Check that code is there and a zip file; keep the architectures that an update of it sets."""
    moto_set_code = LambdaFunction._set_function_code  # noqa: SLF001 - replaced below
    moto_update_code = LambdaFunction.update_function_code
    moto_get_code = LambdaFunction.get_code

    def set_function_code(self: LambdaFunction, updated_spec: dict[str, Any]) -> None:
        rules.check_object(updated_spec, self.region)
        before = {name: value for name, value in vars(self).items() if name.startswith("code")}
        code = dict(self.code)
        moto_set_code(self, updated_spec)
        if "ZipFile" not in updated_spec and "S3Key" not in updated_spec:
            return
        try:
            rules.check_zip(self.code_bytes)
        except InvalidParameterValueException:
            vars(self).update(before, code=code)
            raise

    def update_function_code(self: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if updated_spec.get("Architectures"):
            self.architectures = updated_spec["Architectures"]
        settings.set_modified_now(self)
        # In moto, published versions share it with `$LATEST`.
        self.code = dict(self.code)
        return moto_update_code(self, updated_spec)

    def get_code(self: LambdaFunction) -> dict[str, Any]:
        """Answer GetFunction. Moto leaves out a reserved concurrency of 0; its link leads nowhere.

        https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
        """
        found = moto_get_code(self)
        if "Location" in found.get("Code", {}):
            found["Code"]["Location"] = code_link(self)
        if self.reserved_concurrency is not None:
            reserved = int(self.reserved_concurrency)
            found["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
        return found

    replacements.replace(LambdaFunction, "_set_function_code", set_function_code)
    replacements.replace(LambdaFunction, "update_function_code", update_function_code)
    replacements.replace(LambdaFunction, "get_code", get_code)


def _replace_layers(replacements: Replacements) -> None:
    """Keep the content of a function's layers with it, also when a layer version is deleted.

    Layers that other accounts publish, AWS's own among them, are named by functions and do not
    exist here. moto ignores the account and the region in a layer's ARN.
    https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html
    """

    def get_layers_data(self: LambdaFunction, arns: list[str]) -> list[dict[str, Any]]:
        found = {arn: rules.find_layer(self, arn) for arn in arns}
        contents = {arn: layer and layer.code_bytes for arn, layer in found.items()}
        vars(self)[LAYERS] = contents
        return [{"Arn": arn, "CodeSize": len(content or b"")} for arn, content in contents.items()]

    replacements.replace(LambdaFunction, "_get_layers_data", get_layers_data)


def _replace_event_invoke_configs(replacements: Replacements) -> None:
    """Let a configuration replace the former one, and let an update keep what it does not name.

    https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionEventInvokeConfig.html
    """
    moto_put = LambdaBackend.put_function_event_invoke_config

    def put(self: LambdaBackend, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
        function = self.get_function(function_name)
        settings.check_destinations(function, config)
        function.event_invoke_config.clear()
        return moto_put(self, function_name, config)

    def update(self: LambdaResponse) -> ActionResult:
        name = unquote(self.path.rsplit("/", 2)[1])
        config = dict(self.backend.get_function_event_invoke_config(name))
        for key in ("FunctionArn", "LastModified"):
            config.pop(key, None)
        config.update(self.json_body)
        return ActionResult(self.backend.put_function_event_invoke_config(name, config))

    def list_all(self: LambdaResponse) -> ActionResult:
        """List with times as numbers, as in the other answers."""
        name = unquote(self.path.rsplit("/", 3)[1])
        return ActionResult(self.backend.list_function_event_invoke_configs(name))

    replacements.replace(LambdaBackend, "put_function_event_invoke_config", put)
    replacements.replace(LambdaResponse, "update_function_event_invoke_config", update)
    replacements.replace(LambdaResponse, "list_function_event_invoke_configs", list_all)


def _replace_aliases(replacements: Replacements) -> None:
    """Refuse weighted aliases, as all traffic would go to their first version.

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """

    def unweighted(moto_method: Callable[..., LambdaAlias]) -> Callable[..., LambdaAlias]:
        def write(
            self: LambdaBackend, *args: Any, routing_config: Any = None, **kwargs: Any
        ) -> LambdaAlias:
            if (routing_config or {}).get("AdditionalVersionWeights"):
                raise not_emulated("aliases with more than one version")
            return moto_method(self, *args, routing_config=routing_config, **kwargs)

        return write

    replacements.replace(LambdaBackend, "create_alias", unweighted(LambdaBackend.create_alias))
    replacements.replace(LambdaBackend, "update_alias", unweighted(LambdaBackend.update_alias))
