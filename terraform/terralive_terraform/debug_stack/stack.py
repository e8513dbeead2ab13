"""The debug stack: a WebSocket API with two stages, a connections table and a broker function.

The API's stages are `stub` and `relay`. IAM decides at `$connect` who may use which stage, so a
stub can never register as a relay:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html

A team may subclass `DebugStack` and add resources. Nothing here reads the environment.
"""

from __future__ import annotations

from typing import Final

from cdktf import Fn, TerraformOutput, TerraformStack
from constructs import Construct

from terralive_stub.protocol.limits import INTEGRATION_SECONDS
from terralive_terraform.artifacts import Artifact
from terralive_terraform.constructs.resources import (
    Attribute,
    AwsProvider,
    Resource,
    lambda_trust,
    policy,
    statement,
)
from terralive_terraform.debug_stack.settings import RELAY_STAGE, STUB_STAGE, DebugStackSettings

BROKER_RUNTIME: Final = "python3.13"
BROKER_HANDLER: Final = "terralive_stub.broker.handler"
_BROKER_MEMORY_MB: Final = 256
# API Gateway does not wait longer for the broker.
_BROKER_TIMEOUT_S: Final = INTEGRATION_SECONDS
_ROUTES: Final = {"$connect": "AWS_IAM", "$disconnect": "NONE", "$default": "NONE"}
_BURST: Final = 1000
_RATE: Final = 2000
_TABLE_ACTIONS: Final = (
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:Query",
    "dynamodb:ConditionCheckItem",
)


class DebugStack(TerraformStack):
    """The debug stack of one app and stage, in a Terraform state of its own.

    Attributes:
        settings: the settings that it is made from.
        api: the WebSocket API.
        table: the connections table.
        broker: the broker function.
    """

    def __init__(
        self, scope: Construct, settings: DebugStackSettings, broker_zip: Artifact
    ) -> None:
        super().__init__(scope, "debug")
        self.settings = settings
        self._backend()
        AwsProvider(self, {"region": settings.region})
        self.api = self._tagged(
            "api",
            "aws_apigatewayv2_api",
            {
                "name": settings.name(),
                "protocol_type": "WEBSOCKET",
                "route_selection_expression": "$request.body.action",
                "description": "terralive: takes invocations from stubs to the relay and back",
            },
        )
        self.table = self._table()
        self.broker = self._broker(broker_zip)
        self._routes()
        self._outputs()

    def _tagged(self, name: str, kind: str, attributes: dict[str, Attribute]) -> Resource:
        ignored = ['tags["terralive:created"]', 'tags["terralive:owner"]']
        own: dict[str, Attribute] = {
            "tags": self.settings.all_tags(),
            "lifecycle": {"ignore_changes": ignored},
        }
        return Resource(self, name, kind, {**attributes, **own})

    def _backend(self) -> None:
        backend = self.settings.backend
        if backend is None:
            self.add_override("terraform.backend.local", {"path": "terraform.tfstate"})
            return
        self.add_override("terraform.backend.local", None)  # removes cdktf's default
        self.add_override(f"terraform.backend.{backend.type}", dict(backend.config))

    def _table(self) -> Resource:
        key = self.settings.kms_key
        encryption: Attribute = {"enabled": True, "kms_key_arn": key} if key else None
        return self._tagged(
            "connections",
            "aws_dynamodb_table",
            {
                "name": self.settings.name("connections"),
                "billing_mode": "PAY_PER_REQUEST",
                "hash_key": "pk",
                "range_key": "sk",
                "attribute": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
                "ttl": {"attribute_name": "expires", "enabled": True},
                "server_side_encryption": encryption,
            },
        )

    def _broker(self, broker_zip: Artifact) -> Resource:
        name = self.settings.name("broker")
        logs = self._broker_logs(name)
        role = self._broker_role(name)
        policy_of_role = self._broker_policy(role, logs)
        return self._tagged(
            "broker",
            "aws_lambda_function",
            {
                "function_name": name,
                "description": "terralive's broker between stubs and the relay",
                "role": role.ref("arn"),
                "runtime": BROKER_RUNTIME,
                "handler": BROKER_HANDLER,
                "architectures": ["arm64"],
                "memory_size": _BROKER_MEMORY_MB,
                "timeout": _BROKER_TIMEOUT_S,
                "filename": str(broker_zip.path),
                "source_code_hash": broker_zip.sha256_base64,
                "kms_key_arn": self.settings.kms_key,
                "environment": {
                    "variables": {
                        "TABLE_NAME": self.table.ref("name"),
                        "MANAGEMENT_ENDPOINT": self.management_endpoint,
                    }
                },
                "depends_on": [policy_of_role.address, logs.address],
            },
        )

    def _broker_logs(self, name: str) -> Resource:
        return self._tagged(
            "broker_logs",
            "aws_cloudwatch_log_group",
            {
                "name": f"/aws/lambda/{name}",
                "retention_in_days": self.settings.log_retention_days,
                "kms_key_id": self.settings.kms_key,
            },
        )

    def _broker_role(self, name: str) -> Resource:
        return self._tagged(
            "broker_role",
            "aws_iam_role",
            {
                "name": name,
                "path": self.settings.role_path,
                "permissions_boundary": self.settings.permissions_boundary,
                "assume_role_policy": Fn.jsonencode(lambda_trust()),
            },
        )

    def _broker_policy(self, role: Resource, logs: Resource) -> Resource:
        api_arn = self.api.ref("execution_arn")
        connections = [f"{api_arn}/{stage}/*/@connections/*" for stage in (STUB_STAGE, RELAY_STAGE)]
        statements = [
            statement(_TABLE_ACTIONS, [self.table.ref("arn")]),
            statement(["execute-api:ManageConnections"], connections),
            statement(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{logs.ref('arn')}:*"]),
        ]
        key = self.settings.kms_key
        if key:
            statements.append(statement(["kms:Decrypt", "kms:GenerateDataKey"], [key]))
        document = Fn.jsonencode(policy(*statements))
        attributes = {"name": "broker", "role": role.ref("id"), "policy": document}
        return Resource(self, "broker_policy", "aws_iam_role_policy", attributes)

    def _routes(self) -> None:
        integration = Resource(
            self,
            "broker_integration",
            "aws_apigatewayv2_integration",
            {
                "api_id": self.api.ref("id"),
                "integration_type": "AWS_PROXY",
                "integration_method": "POST",
                "integration_uri": self.broker.ref("invoke_arn"),
            },
        )
        Resource(
            self,
            "broker_permission",
            "aws_lambda_permission",
            {
                "statement_id": "AllowExecutionFromTheDebugStacksApi",
                "action": "lambda:InvokeFunction",
                "function_name": self.broker.ref("function_name"),
                "principal": "apigateway.amazonaws.com",
                "source_arn": f"{self.api.ref('execution_arn')}/*/*",
            },
        )
        routes = []
        for key, authorization in _ROUTES.items():
            attributes = {
                "api_id": self.api.ref("id"),
                "route_key": key,
                "authorization_type": authorization,
                "target": f"integrations/{integration.ref('id')}",
            }
            name = f"route_{key.removeprefix('$')}"
            routes.append(Resource(self, name, "aws_apigatewayv2_route", attributes))
        for stage in (STUB_STAGE, RELAY_STAGE):
            self._tagged(
                f"stage_{stage}",
                "aws_apigatewayv2_stage",
                {
                    "api_id": self.api.ref("id"),
                    "name": stage,
                    "auto_deploy": True,
                    "default_route_settings": {
                        "throttling_burst_limit": _BURST,
                        "throttling_rate_limit": _RATE,
                    },
                    "depends_on": [route.address for route in routes],
                },
            )

    @property
    def management_endpoint(self) -> str:
        """The address of the `@connections` API, with `{stage}` in it."""
        pattern = self.settings.endpoints.management
        if pattern is None:
            return f"{Fn.replace(self.api.ref('api_endpoint'), 'wss://', 'https://')}/{{stage}}"
        return pattern.replace("{api}", self.api.ref("id"))

    def websocket_url(self, stage: str) -> str:
        """Return the WebSocket URL of one of the two stages."""
        pattern = self.settings.endpoints.websocket
        if pattern is None:
            return f"{Fn.replace(self.api.ref('api_endpoint'), 'https://', 'wss://')}/{stage}"
        return pattern.replace("{api}", self.api.ref("id")).replace("{stage}", stage)

    def _outputs(self) -> None:
        outputs = {
            "stub_url": self.websocket_url(STUB_STAGE),
            "relay_url": self.websocket_url(RELAY_STAGE),
            "management_endpoint": self.management_endpoint,
            "table_name": self.table.ref("name"),
            "api_id": self.api.ref("id"),
            "api_arn": self.api.ref("execution_arn"),
            "broker_name": self.broker.ref("function_name"),
        }
        for name, value in outputs.items():
            TerraformOutput(self, name, value=value)
