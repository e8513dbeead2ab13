"""A light `Function` construct: a Lambda function with its own role and log group, from a folder.

    api = Function(stack, "api", name="orders-api", code="functions/api", handler="app.handler")
    api.allow("sns:Publish", topic.ref("arn"))
    api.on_http(http_api, "GET /")

It is built on `resources.Resource`. Its attributes `function`, `role` and `logs` are the resources,
for everything that this construct does not offer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from constructs import Construct

from terralive_terraform.artifacts import zip_folder
from terralive_terraform.constructs.cdk import cdk
from terralive_terraform.constructs.resources import (
    Attribute,
    Resource,
    lambda_trust,
    outdir_of,
    policy,
    statement,
)

_LOG_DAYS: Final = 14


class Function(Construct):
    """A Lambda function from a local folder.

    Args:
        scope: the stack.
        id: its id there, and the function's name in Terraform: `aws_lambda_function.<id>`.
        handler: Lambda's setting of that name.
        code: the folder that is zipped, relative to the project's folder.
        runtime: Lambda's setting of that name.
        name: the function's name on AWS. The default is the stack's name and the id.
        environment: the function's environment variables.
        policy_statements: permissions of its role beside those for its own logs (see
            `resources.statement`).
        memory_size: in MB.
        timeout: in seconds.

    Attributes:
        function: the `aws_lambda_function`.
        role: the `aws_iam_role`.
        logs: the `aws_cloudwatch_log_group`.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002  # constructs' own word
        *,
        handler: str,
        code: str | Path,
        runtime: str = "python3.13",
        name: str | None = None,
        environment: Mapping[str, Attribute] | None = None,
        policy_statements: Sequence[Mapping[str, Attribute]] = (),
        memory_size: int = 128,
        timeout: int = 10,
    ) -> None:
        super().__init__(scope, id)
        full_id = f"{cdk.TerraformStack.of(self).node.id}-{id}"
        name = name or full_id
        self._label = id
        self._statements = list(policy_statements)
        self.logs = self._resource(
            f"{id}_logs",
            "aws_cloudwatch_log_group",
            {"name": f"/aws/lambda/{name}", "retention_in_days": _LOG_DAYS},
        )
        self.role = self._resource(
            f"{id}_role",
            "aws_iam_role",
            {"name": name, "assume_role_policy": cdk.Fn.jsonencode(lambda_trust())},
        )
        self._policy = self._resource(
            f"{id}_policy", "aws_iam_role_policy", {"name": name, "role": self.role.ref("id")}
        )
        self._write_policy()
        folder = Path(code).resolve()
        # Terraform runs in <outdir>/stacks/<stack>. A relative path is the same on every machine.
        file = Path("..") / ".." / "functions" / f"{full_id}.zip"
        artifact = zip_folder(folder, outdir_of(self) / "functions" / file.name)
        variables: Attribute = None
        if environment:
            variables = {"variables": dict(environment)}
        self.function = self._resource(
            id,
            "aws_lambda_function",
            {
                "function_name": name,
                "role": self.role.ref("arn"),
                "handler": handler,
                "runtime": runtime,
                "filename": file.as_posix(),
                "source_code_hash": artifact.sha256_base64,
                "memory_size": memory_size,
                "timeout": timeout,
                "environment": variables,
                "depends_on": [self._policy.address, self.logs.address],
            },
        )
        self.function.add_override("//.terralive.path", str(folder))

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return self.function.ref("arn")

    def allow(self, actions: str | Sequence[str], resources: str | Sequence[str]) -> None:
        """Allow the function one or more actions on one or more resources."""
        if isinstance(actions, str):
            actions = [actions]
        if isinstance(resources, str):
            resources = [resources]
        self._statements.append(statement(actions, resources))
        self._write_policy()

    def on_http(self, api: Resource, route_key: str) -> None:
        """Answer a route (`GET /`) of an HTTP API, an `aws_apigatewayv2_api`."""
        suffix = re.sub(r"[^A-Za-z0-9]", "_", route_key).strip("_")
        integration = self._resource(
            f"{self._label}_{suffix}_integration",
            "aws_apigatewayv2_integration",
            {
                "api_id": api.ref("id"),
                "integration_type": "AWS_PROXY",
                "integration_uri": self.function.ref("invoke_arn"),
                "payload_format_version": "2.0",
            },
        )
        self._resource(
            f"{self._label}_{suffix}_route",
            "aws_apigatewayv2_route",
            {
                "api_id": api.ref("id"),
                "route_key": route_key,
                "target": f"integrations/{integration.ref('id')}",
            },
        )
        self._permit(suffix, "apigateway.amazonaws.com", f"{api.ref('execution_arn')}/*/*")

    def on_sns(self, topic: Resource) -> None:
        """Subscribe to every message of an `aws_sns_topic`."""
        self._permit(f"{topic.node.id}", "sns.amazonaws.com", topic.ref("arn"))
        self._resource(
            f"{self._label}_{topic.node.id}_subscription",
            "aws_sns_topic_subscription",
            {"topic_arn": topic.ref("arn"), "protocol": "lambda", "endpoint": self.arn},
        )

    def _permit(self, suffix: str, principal: str, source_arn: str) -> None:
        self._resource(
            f"{self._label}_{suffix}_permission",
            "aws_lambda_permission",
            {
                "action": "lambda:InvokeFunction",
                "function_name": self.function.ref("function_name"),
                "principal": principal,
                "source_arn": source_arn,
            },
        )

    def _write_policy(self) -> None:
        logs = statement(
            ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{self.logs.ref('arn')}:*"]
        )
        self._policy.add_override("policy", cdk.Fn.jsonencode(policy(logs, *self._statements)))

    def _resource(self, label: str, kind: str, attributes: Mapping[str, Attribute]) -> Resource:
        resource = Resource(self, label, kind, attributes)
        resource.override_logical_id(label)  # cdktf would add a hash to the address
        return resource
