"""The debug stack: a WebSocket API with two stages, a connections table and a broker function.

The API's stages are `stub` and `relay`. IAM decides at `$connect` who may use which stage, so a
stub can never register as a relay:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html

Everything in which two debug stacks differ is a Terraform variable, so all have the same
configuration: `template.tf.json`, which `make template` writes from this module. It is what plain
users deploy, without cdktf.

A team may subclass `DebugStack` and add resources. Nothing here reads the environment.
"""

from __future__ import annotations

from typing import Final

from cdktf import Fn, TerraformOutput, TerraformStack, TerraformVariable
from constructs import Construct

from terralive_stub.protocol.limits import INTEGRATION_SECONDS
from terralive_terraform.constructs.resources import (
    Attribute,
    AwsProvider,
    Resource,
    lambda_trust,
    policy,
    statement,
)
from terralive_terraform.debug_stack.settings import (
    BROKER_ZIP,
    RELAY_STAGE,
    STUB_STAGE,
    VARIABLES,
    DebugStackSettings,
)

BROKER_RUNTIME: Final = "python3.13"
BROKER_HANDLER: Final = "terralive_stub.broker.handler"
_BROKER_MEMORY_MB: Final = 256
# API Gateway does not wait longer for the broker.
_BROKER_TIMEOUT_S: Final = INTEGRATION_SECONDS
_ROUTES: Final = {"$connect": "AWS_IAM", "$disconnect": "NONE", "$default": "NONE"}
_TABLE_ACTIONS: Final = (
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:Query",
    "dynamodb:ConditionCheckItem",
)
# Terraform takes a pattern between slashes for a regular expression:
# https://developer.hashicorp.com/terraform/language/functions/replace
_SCHEME: Final = "/^[a-z]+:[/][/]/"


class DebugStack(TerraformStack):
    """The debug stack of one app and stage, in a Terraform state of its own.

    Attributes:
        settings: the settings of the stage that it is synthesised for. The resources here refer to
            the variables instead; a subclass may use the values.
        api: the WebSocket API.
        table: the connections table.
        broker: the broker function.
    """

    def __init__(self, scope: Construct, settings: DebugStackSettings) -> None:
        super().__init__(scope, "debug")
        self.settings = settings
        self._variables = {name: self._declared(name) for name in VARIABLES}
        AwsProvider(self, {"region": self.variable("region")})
        self.api = self.tagged(
            "api",
            "aws_apigatewayv2_api",
            {
                "name": self.variable("name"),
                "protocol_type": "WEBSOCKET",
                "route_selection_expression": "$request.body.action",
                "description": "terralive: takes invocations from stubs to the relay and back",
            },
        )
        self.table = self._table()
        self.broker = self._broker()
        self._routes()
        self._outputs()

    def variable(self, name: str) -> str:
        """Return a reference to a Terraform variable of the debug stack (`settings.VARIABLES`)."""
        return self._variables[name].string_value

    def name_of(self, part: str) -> str:
        """Return the name of one resource; see `DebugStackSettings.name`."""
        return f"{self.variable('name')}-{part}"

    def _declared(self, name: str) -> TerraformVariable:
        # An output, or a construct of a subclass, may have the variable's name.
        declared = TerraformVariable(self, f"variable_{name}", type=VARIABLES[name])
        declared.override_logical_id(name)
        return declared

    def tagged(self, name: str, kind: str, attributes: dict[str, Attribute]) -> Resource:
        """Add a resource with terralive's tags and the organisation's."""
        ignored = ['tags["terralive:created"]', 'tags["terralive:owner"]']
        own: dict[str, Attribute] = {
            "tags": self.variable("tags"),
            "lifecycle": {"ignore_changes": ignored},
        }
        return Resource(self, name, kind, {**attributes, **own})

    def _table(self) -> Resource:
        return self.tagged(
            "connections",
            "aws_dynamodb_table",
            {
                "name": self.name_of("connections"),
                "billing_mode": "PAY_PER_REQUEST",
                "hash_key": "pk",
                "range_key": "sk",
                "attribute": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
                "ttl": {"attribute_name": "expires", "enabled": True},
                "dynamic": {
                    "server_side_encryption": {
                        "for_each": "${var.kms_key == null ? [] : [var.kms_key]}",
                        "content": {
                            "enabled": True,
                            "kms_key_arn": "${server_side_encryption.value}",
                        },
                    }
                },
            },
        )

    def _broker(self) -> Resource:
        name = self.name_of("broker")
        logs = self._broker_logs(name)
        role = self._broker_role(name)
        policies = self._broker_policies(role, logs)
        return self.tagged(
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
                # Terraform runs beside the zip. The bare name is the same in every checkout, so
                # two checkouts that share a state plan no change.
                "filename": BROKER_ZIP,
                "source_code_hash": f'${{filebase64sha256("{BROKER_ZIP}")}}',
                "kms_key_arn": self.variable("kms_key"),
                "reserved_concurrent_executions": self.variable("broker_concurrency"),
                "environment": {
                    "variables": {
                        "TABLE_NAME": self.table.ref("name"),
                        "MANAGEMENT_ENDPOINT": self.management_endpoint,
                    }
                },
                "depends_on": [*(item.address for item in policies), logs.address],
            },
        )

    def _broker_logs(self, name: str) -> Resource:
        return self.tagged(
            "broker_logs",
            "aws_cloudwatch_log_group",
            {
                "name": f"/aws/lambda/{name}",
                "retention_in_days": self.variable("log_retention_days"),
                "kms_key_id": self.variable("kms_key"),
            },
        )

    def _broker_role(self, name: str) -> Resource:
        return self.tagged(
            "broker_role",
            "aws_iam_role",
            {
                "name": name,
                "path": self.variable("role_path"),
                "permissions_boundary": self.variable("permissions_boundary"),
                "assume_role_policy": Fn.jsonencode(lambda_trust()),
            },
        )

    def _broker_policies(self, role: Resource, logs: Resource) -> tuple[Resource, Resource]:
        api_arn = self.api.ref("execution_arn")
        connections = [f"{api_arn}/{stage}/*/@connections/*" for stage in (STUB_STAGE, RELAY_STAGE)]
        own = policy(
            statement(_TABLE_ACTIONS, [self.table.ref("arn")]),
            statement(["execute-api:ManageConnections"], connections),
            statement(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{logs.ref('arn')}:*"]),
        )
        key = policy(statement(["kms:Decrypt", "kms:GenerateDataKey"], [self.variable("kms_key")]))
        return (
            self._role_policy("broker_policy", "broker", role, own),
            self._role_policy(
                "broker_key_policy",
                "key",
                role,
                key,
                {"count": "${var.kms_key == null ? 0 : 1}"},
            ),
        )

    def _role_policy(
        self,
        id: str,  # noqa: A002  # constructs' own word
        name: str,
        role: Resource,
        document: dict[str, Attribute],
        more: dict[str, Attribute] | None = None,
    ) -> Resource:
        attributes = {"name": name, "role": role.ref("id"), "policy": Fn.jsonencode(document)}
        return Resource(self, id, "aws_iam_role_policy", {**attributes, **(more or {})})

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
            self.tagged(
                f"stage_{stage}",
                "aws_apigatewayv2_stage",
                {
                    "api_id": self.api.ref("id"),
                    "name": stage,
                    "auto_deploy": True,
                    "default_route_settings": {
                        "throttling_burst_limit": self.variable("throttle_burst"),
                        "throttling_rate_limit": self.variable("throttle_rate"),
                    },
                    "depends_on": [route.address for route in routes],
                },
            )

    @property
    def management_endpoint(self) -> str:
        """The address of the `@connections` API, with `{stage}` in it."""
        return self._address("management_endpoint")

    def websocket_url(self, stage: str) -> str:
        """Return the WebSocket URL of one of the two stages."""
        return Fn.replace(self._address("websocket_url"), "{stage}", stage)

    def _address(self, pattern: str) -> str:
        """Return an address of the API from a variable; see `Endpoints`."""
        host = Fn.replace(self.api.ref("api_endpoint"), _SCHEME, "")
        with_host = Fn.replace(self.variable(pattern), "{host}", host)
        return Fn.replace(with_host, "{api}", self.api.ref("id"))

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
