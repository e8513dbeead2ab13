"""The debug stack: two WebSocket APIs, a connections table, a broker function, the stub's bucket.

Relays connect to the API `relay`, which IAM protects, and stubs to the API `stub`, which a Lambda
authorizer protects: the broker. A stub needs no permission of its function's role for that.
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html

Everything in which two debug stacks differ is a Terraform variable, so all have the same
configuration: `template.tf.json`, which `make template` writes from this module. It is what plain
users deploy, without cdktf.

A team may subclass `DebugStack` and add resources. Nothing here reads the environment.
"""

from __future__ import annotations

from typing import Final

from constructs import Construct

from terralive_stub.protocol.limits import INTEGRATION_SECONDS
from terralive_stub.protocol.token import HEADER, Api
from terralive_terraform.constructs.cdk import cdk
from terralive_terraform.constructs.resources import (
    Attribute,
    AwsProvider,
    Resource,
    lambda_trust,
    policy,
    statement,
)
from terralive_terraform.debug_stack import stub_storage
from terralive_terraform.debug_stack.settings import (
    BROKER_ZIP,
    VARIABLES,
    DebugStackSettings,
)

BROKER_RUNTIME: Final = "python3.13"
BROKER_HANDLER: Final = "terralive_stub.broker.handler"
# By bench/bench_broker.py: a message takes 6 ms of CPU time, and 12 ms with 256 MB. Twice as much
# would save 3 ms more, beside a way to API Gateway that takes about 10 ms.
_BROKER_MEMORY_MB: Final = 512
# API Gateway does not wait longer for the broker.
_BROKER_TIMEOUT_S: Final = INTEGRATION_SECONDS
_ROUTES: Final = ("$connect", "$disconnect", "$default")
# Without this header, API Gateway answers 401 and does not run the broker.
_IDENTITY_SOURCE: Final = f"route.request.header.{HEADER}"
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
# AWS says `wss://` of a WebSocket API, emulators also say `http://`.
_WEBSOCKET: Final = "/^ws/"
_HTTP: Final = "/^http/"


class DebugStack(cdk.TerraformStack):
    """The debug stack of one app and stage, in a Terraform state of its own.

    Attributes:
        settings: the settings of the stage that it is synthesised for. The resources here refer to
            the variables instead; a subclass may use the values.
        relay_api: the WebSocket API that relays connect to.
        stub_api: the WebSocket API that stubs connect to.
        table: the connections table.
        broker: the broker function.
        stub_bucket: the bucket from which functions get the stub's zip.
        images: the repository of the stub's image; it exists where the app has functions that are
            container images.
    """

    def __init__(self, scope: Construct, settings: DebugStackSettings) -> None:
        super().__init__(scope, "debug")
        self.settings = settings
        self._variables = {name: self._declared(name) for name in VARIABLES}
        provider: dict[str, Attribute] = {
            "region": self.variable("region"),
            "s3_use_path_style": self.variable("s3_path_style"),
        }
        AwsProvider(self, provider)
        self.relay_api = self._api(Api.RELAY)
        self.stub_api = self._api(Api.STUB)
        self.table = self._table()
        self.broker = self._broker()
        self._routes(Api.RELAY, self.relay_api, {"authorization_type": "AWS_IAM"})
        authorizer = self._authorizer()
        custom: dict[str, Attribute] = {
            "authorization_type": "CUSTOM",
            "authorizer_id": authorizer.ref("id"),
        }
        self._routes(Api.STUB, self.stub_api, custom)
        self.stub_bucket = stub_storage.stub_bucket(self)
        self.images = stub_storage.image_repository(self)
        self._outputs()

    def variable(self, name: str) -> str:
        """Return a reference to a Terraform variable of the debug stack (`settings.VARIABLES`)."""
        return self._variables[name].string_value

    def name_of(self, part: str) -> str:
        """Return the name of one resource; see `DebugStackSettings.name`."""
        return f"{self.variable('name')}-{part}"

    def _declared(self, name: str) -> cdk.TerraformVariable:
        # An output, or a construct of a subclass, may have the variable's name.
        declared = cdk.TerraformVariable(self, f"variable_{name}", type=VARIABLES[name])
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

    def _api(self, api: Api) -> Resource:
        return self.tagged(
            f"{api}_api",
            "aws_apigatewayv2_api",
            {
                "name": self.name_of(api),
                "protocol_type": "WEBSOCKET",
                "route_selection_expression": "$request.body.action",
                "description": f"terralive: the WebSocket API of each {api}",
            },
        )

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
                        "RELAY_MANAGEMENT_ENDPOINT": self.management_endpoint(Api.RELAY),
                        "STUB_MANAGEMENT_ENDPOINT": self.management_endpoint(Api.STUB),
                        "RELAY_IDENTITY": self.variable("identity_source"),
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
                "assume_role_policy": cdk.Fn.jsonencode(lambda_trust()),
            },
        )

    def _broker_policies(self, role: Resource, logs: Resource) -> tuple[Resource, Resource]:
        connections = [
            f"{self.api(api).ref('execution_arn')}/{api}/*/@connections/*" for api in Api
        ]
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
        attributes = {"name": name, "role": role.ref("id"), "policy": cdk.Fn.jsonencode(document)}
        return Resource(self, id, "aws_iam_role_policy", {**attributes, **(more or {})})

    def _permit(self, name: str, source_arn: str) -> None:
        """Let API Gateway run the broker."""
        Resource(
            self,
            name,
            "aws_lambda_permission",
            {
                "statement_id": f"terralive-{name}",
                "action": "lambda:InvokeFunction",
                "function_name": self.broker.ref("function_name"),
                "principal": "apigateway.amazonaws.com",
                "source_arn": source_arn,
            },
        )

    def _authorizer(self) -> Resource:
        authorizer = Resource(
            self,
            "stub_authorizer",
            "aws_apigatewayv2_authorizer",
            {
                "api_id": self.stub_api.ref("id"),
                "name": "token",
                "authorizer_type": "REQUEST",
                "authorizer_uri": self.broker.ref("invoke_arn"),
                "identity_sources": [_IDENTITY_SOURCE],
            },
        )
        execution_arn = self.stub_api.ref("execution_arn")
        self._permit("authorizer_permission", f"{execution_arn}/authorizers/{authorizer.ref('id')}")
        return authorizer

    def _routes(self, api: Api, resource: Resource, connect: dict[str, Attribute]) -> None:
        """Send everything that one API receives to the broker.

        Args:
            api: which API.
            resource: the API.
            connect: the authorization of its `$connect`.
        """
        integration = Resource(
            self,
            f"{api}_integration",
            "aws_apigatewayv2_integration",
            {
                "api_id": resource.ref("id"),
                "integration_type": "AWS_PROXY",
                "integration_method": "POST",
                "integration_uri": self.broker.ref("invoke_arn"),
            },
        )
        self._permit(f"{api}_permission", f"{resource.ref('execution_arn')}/{api}/*")
        routes = []
        for key in _ROUTES:
            authorization: dict[str, Attribute] = {"authorization_type": "NONE"}
            if key == "$connect":
                authorization = connect
            attributes: dict[str, Attribute] = {
                "api_id": resource.ref("id"),
                "route_key": key,
                "target": f"integrations/{integration.ref('id')}",
                **authorization,
            }
            name = f"{api}_route_{key.removeprefix('$')}"
            routes.append(Resource(self, name, "aws_apigatewayv2_route", attributes))
        self.tagged(
            f"{api}_stage",
            "aws_apigatewayv2_stage",
            {
                "api_id": resource.ref("id"),
                "name": str(api),
                "auto_deploy": True,
                "default_route_settings": {
                    # Messages contain credentials, and must never be in a log:
                    # https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html
                    "data_trace_enabled": False,
                    "throttling_burst_limit": self.variable("throttle_burst"),
                    "throttling_rate_limit": self.variable("throttle_rate"),
                },
                "depends_on": [route.address for route in routes],
            },
        )

    def api(self, api: Api) -> Resource:
        """Return one of the two WebSocket APIs."""
        if api is Api.RELAY:
            return self.relay_api
        return self.stub_api

    def management_endpoint(self, api: Api) -> str:
        """Return the address of an API's `@connections` API."""
        url = cdk.Fn.replace(self.api(api).ref("api_endpoint"), _WEBSOCKET, "http")
        return self._address("management_endpoint", api, url)

    def websocket_url(self, api: Api) -> str:
        """Return the WebSocket URL of an API."""
        url = cdk.Fn.replace(self.api(api).ref("api_endpoint"), _HTTP, "ws")
        return self._address("websocket_url", api, url)

    def _address(self, pattern: str, api: Api, url: str) -> str:
        """Return an address of an API from a variable; see `Endpoints`."""
        with_url = cdk.Fn.replace(self.variable(pattern), "{url}", url)
        with_id = cdk.Fn.replace(with_url, "{api}", self.api(api).ref("id"))
        return cdk.Fn.replace(with_id, "{stage}", api)

    def _outputs(self) -> None:
        outputs = {
            "stub_url": self.websocket_url(Api.STUB),
            "relay_url": self.websocket_url(Api.RELAY),
            "table_name": self.table.ref("name"),
            "broker_name": self.broker.ref("function_name"),
            "stub_bucket": self.stub_bucket.ref("id"),
            "image_repository": f"${{one({self.images.address}[*].repository_url)}}",
        }
        for name, value in outputs.items():
            cdk.TerraformOutput(self, name, value=value)
