"""The deployed function, as Lambda's API describes it: its settings and what invokes it.

What the caller may not see is not known, and no error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.invoking.event.triggers import (
    FROM_MAPPINGS,
    FROM_POLICY,
    Sources,
    mapped_sources,
    permitted_sources,
)
from terralive_stub.shared.json_documents import as_object, number, text

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class DeployedSettings:
    """The settings of a deployed function.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html

    Attributes:
        description: its description, which says whether it is live.
        handler: its handler; "" for a container image.
        timeout_s: its timeout, in seconds.
        memory_mb: its memory, in MB.
        role_arn: the ARN of its role.
        environment: its environment variables. Never log them.
        environment_error: why Lambda does not tell them, where it cannot decrypt them; "" else.
    """

    description: str
    handler: str
    timeout_s: int
    memory_mb: int
    role_arn: str
    environment: Mapping[str, str] = field(repr=False)
    environment_error: str = ""


def settings_of(client: LambdaClient, arn: str, qualifier: str = "") -> DeployedSettings | None:
    """Ask Lambda for a function's settings; None where it does not tell them.

    Args:
        client: Lambda, in the function's account and region.
        arn: the function's ARN, without a qualifier.
        qualifier: a version or alias; "" for `$LATEST`.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    arguments: dict[str, Any] = {"FunctionName": arn}
    if qualifier:
        arguments["Qualifier"] = qualifier
    try:
        answer = client.get_function_configuration(**arguments)
    except (ClientError, BotoCoreError) as error:
        _log.debug("the settings of %s cannot be read: %s", arn, type(error).__name__)
        return None
    environment = as_object(answer.get("Environment"))
    variables = as_object(environment.get("Variables"))
    return DeployedSettings(
        description=text(answer, "Description"),
        handler=text(answer, "Handler"),
        timeout_s=int(number(answer, "Timeout")),
        memory_mb=int(number(answer, "MemorySize")),
        role_arn=text(answer, "Role"),
        environment={name: text(variables, name) for name in variables},
        environment_error=text(as_object(environment.get("Error")), "Message"),
    )


def sources_of(client: LambdaClient, arn: str, template: str, qualifier: str = "") -> Sources:
    """Ask Lambda what invokes a function, as far as a template's event names it.

    Args:
        client: Lambda, in the function's account and region.
        arn: the function's ARN, without a qualifier.
        template: name of the template.
        qualifier: a version or alias, which has sources of its own; "" for `$LATEST`.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    of_mappings: dict[str, Any] = {"FunctionName": arn}
    of_function: dict[str, Any] = {"FunctionName": arn}
    if qualifier:
        of_mappings["FunctionName"] = f"{arn}:{qualifier}"
        of_function["Qualifier"] = qualifier
    try:
        if template in FROM_MAPPINGS:
            mappings = client.list_event_source_mappings(**of_mappings)
            return Sources(mapped_sources(mappings.get("EventSourceMappings", ())))
        if template in FROM_POLICY:
            policy = client.get_policy(**of_function)
            return Sources(permitted_sources(text(policy, "Policy")))
        if template == "url":
            settings = client.get_function_url_config(**of_function)
            return Sources(url=text(settings, "FunctionUrl"))
    except (ClientError, BotoCoreError) as error:
        _log.debug("what invokes %s is not known: %s", arn, type(error).__name__)
    return Sources()
