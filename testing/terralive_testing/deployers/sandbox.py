"""A sandbox for tests, and shorthands that deploy into it.

One sandbox serves all tests of a session, so every test uses names of its own (`unique`).
"""

from __future__ import annotations

import io
import json
import sys
import textwrap
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_sandbox.process import SandboxProcess
from terralive_testing.machine.sandbox_logs import LOGS
from terralive_testing.oracles import shapes

if TYPE_CHECKING:
    from types_boto3_apigateway import APIGatewayClient
    from types_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from types_boto3_apigatewayv2 import ApiGatewayV2Client
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_iam import IAMClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.literals import RuntimeType
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient
    from types_boto3_sts import STSClient

# The version of this Python, so that a sandbox does not look for another one.
OWN_PYTHON: Final[Any] = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_LOG_POLICY = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}


@contextmanager
def running_sandbox(
    folder: Path, *, time_scale: float = 1.0, concurrency: int = 1000
) -> Iterator[SandboxInfo]:
    """A sandbox of its own, with its log in `folder`."""
    LOGS.watch(folder / "sandbox.log")
    process = SandboxProcess.start(
        folder / "sandbox.json",
        log_path=folder / "sandbox.log",
        time_scale=time_scale,
        concurrency=concurrency,
    )
    try:
        yield process.info
    finally:
        process.stop()


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


def code(source: str, **others: str) -> bytes:
    """A function's zip with `source` as app.py."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(source))
        for name, text in others.items():
            archive.writestr(f"{name}.py", textwrap.dedent(text))
    return buffer.getvalue()


class Aws:
    """boto3 clients for a sandbox, with the developer's or other keys, and shorthands that deploy.

    Every answer is compared with botocore's model of the service (`oracles.shapes`), unless
    `checked` is false: a bench measures without the time that the comparison takes.
    """

    def __init__(
        self, info: SandboxInfo, keys: Mapping[str, str] | None = None, *, checked: bool = True
    ) -> None:
        self.info = info
        self._checked = checked
        given = keys or {
            "AccessKeyId": info.access_key_id,
            "SecretAccessKey": info.secret_access_key,
        }
        self._session = boto3.Session(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given.get("SessionToken"),
            region_name=info.region,
        )
        self._config = Config(retries={"total_max_attempts": 1}, read_timeout=150)
        self._clients: dict[tuple[str, str], Any] = {}

    def _client(self, service: str, endpoint: str = "") -> Any:  # noqa: ANN401
        at = (service, endpoint or self.info.endpoint)
        if at not in self._clients:
            client = self._session.client(service, endpoint_url=at[1], config=self._config)  # type: ignore[call-overload] # by name
            if self._checked:
                shapes.watch(client)
            self._clients[at] = client
        return self._clients[at]

    def client(self, service: str) -> Any:  # noqa: ANN401
        """Return the client of a service that has no property here."""
        return self._client(service)

    @property
    def lambda_(self) -> LambdaClient:
        client: LambdaClient = self._client("lambda")
        return client

    @property
    def iam(self) -> IAMClient:
        client: IAMClient = self._client("iam")
        return client

    @property
    def sts(self) -> STSClient:
        client: STSClient = self._client("sts")
        return client

    @property
    def sns(self) -> SNSClient:
        client: SNSClient = self._client("sns")
        return client

    @property
    def sqs(self) -> SQSClient:
        client: SQSClient = self._client("sqs")
        return client

    @property
    def events(self) -> EventBridgeClient:
        client: EventBridgeClient = self._client("events")
        return client

    @property
    def scheduler(self) -> Any:  # noqa: ANN401 - no stubs of EventBridge Scheduler are installed
        return self._client("scheduler")

    @property
    def s3(self) -> S3Client:
        client: S3Client = self._client("s3")
        return client

    @property
    def dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def logs(self) -> Any:  # noqa: ANN401 - no stubs of CloudWatch Logs are installed
        return self._client("logs")

    @property
    def rest(self) -> APIGatewayClient:
        client: APIGatewayClient = self._client("apigateway")
        return client

    @property
    def apis(self) -> ApiGatewayV2Client:
        client: ApiGatewayV2Client = self._client("apigatewayv2")
        return client

    def connections(self, api: str, stage: str) -> ApiGatewayManagementApiClient:
        return self.connections_at(self.info.management_url.format(api=api, stage=stage))

    def connections_at(self, endpoint: str) -> ApiGatewayManagementApiClient:
        client: ApiGatewayManagementApiClient = self._client("apigatewaymanagementapi", endpoint)
        return client

    def assume(self, role_arn: str, session: str = "test") -> Aws:
        """Clients with temporary credentials of a role."""
        return Aws(self.info, self.role_keys(role_arn, session), checked=self._checked)

    def in_region(self, region: str) -> Aws:
        """Clients with the developer's keys in another region."""
        return Aws(replace(self.info, region=region), checked=self._checked)

    def in_account(self, account: str, region: str = "") -> Aws:
        """Clients that may do everything in another account."""
        keys = self.role_keys(f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole")
        info = replace(self.info, account_id=account, region=region or self.info.region)
        return Aws(info, keys, checked=self._checked)

    def role_keys(self, role_arn: str, session: str = "test") -> dict[str, str]:
        """Return temporary keys of a role: `AccessKeyId`, `SecretAccessKey`, `SessionToken`."""
        keys = self.sts.assume_role(RoleArn=role_arn, RoleSessionName=session)["Credentials"]
        return {
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "SessionToken": keys["SessionToken"],
        }

    def role(self, *statements: Mapping[str, object], name: str | None = None) -> str:
        """A role that may do what `statements` say; its ARN."""
        name = name or unique("role")
        trust = {
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
            ]
        }
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))[
            "Role"
        ]["Arn"]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            self.iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=document)
        return arn

    def streaming_url(self, arn: str) -> str:
        """Give a function a public URL that streams. Return it without the slash at its end."""
        made = self.lambda_.create_function_url_config(
            FunctionName=arn, AuthType="NONE", InvokeMode="RESPONSE_STREAM"
        )
        conditions: dict[str, dict[str, Any]] = {
            "InvokeFunctionUrl": {"FunctionUrlAuthType": "NONE"},
            "InvokeFunction": {"InvokedViaFunctionUrl": True},
        }
        for action, condition in conditions.items():
            self.lambda_.add_permission(
                FunctionName=arn,
                StatementId=action,
                Action=f"lambda:{action}",
                Principal="*",
                **condition,
            )
        return local_url(self.info, made["FunctionUrl"]).rstrip("/")

    def function(
        self,
        source: str | bytes,
        *,
        handler: str = "app.handler",
        statements: Sequence[Mapping[str, object]] = (),
        timeout: int = 10,
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
        role: str = "",
        runtime: RuntimeType = OWN_PYTHON,
        isolates_tenants: bool = False,
    ) -> str:
        """Create a Python function from the source of app.py, or from a zip. Return its ARN.

        Without a `role`, it gets one that may write logs and has these statements.
        """
        archive = source
        if isinstance(archive, str):
            archive = code(archive)
        settings: dict[str, Any] = {}
        if isolates_tenants:
            settings["TenancyConfig"] = {"TenantIsolationMode": "PER_TENANT"}
        return self.lambda_.create_function(
            **settings,
            FunctionName=name or unique("function"),
            Runtime=runtime,
            Handler=handler,
            Role=role or self.role(_LOG_POLICY, *statements),
            Code={"ZipFile": archive},
            Timeout=timeout,
            MemorySize=256,
            Environment={"Variables": dict(environment or {})},
        )["FunctionArn"]

    def run_one_by_one(self, function_arn: str) -> None:
        """Give a function one environment at a time; asynchronous events wait for their turn.

        A schedule that fires faster than a slow machine starts environments would start more and
        more of them, and none would ever be ready.
        """
        self.lambda_.put_function_concurrency(
            FunctionName=function_arn, ReservedConcurrentExecutions=1
        )

    def allow(self, function_arn: str, service: str, source_arn: str) -> None:
        self.lambda_.add_permission(
            FunctionName=function_arn,
            StatementId=unique("allow"),
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source_arn,
        )

    @property
    def caller_arn(self) -> str:
        """The ARN of the user or role that these clients call as."""
        return self.sts.get_caller_identity()["Arn"]

    def execution_arn(self, api: str) -> str:
        return f"arn:aws:execute-api:{self.info.region}:{self.info.account_id}:{api}"

    def http_api(
        self, function_arn: str, *routes: str, stage: str = "$default", permit: bool = True
    ) -> str:
        """An HTTP API with all routes to one function; its id."""
        api = self.apis.create_api(Name=unique("http"), ProtocolType="HTTP")["ApiId"]
        integration = self.apis.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=function_arn,
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        for route in routes:
            self.apis.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integration}")
        self.apis.create_stage(ApiId=api, StageName=stage, AutoDeploy=True)
        if permit:
            self.allow(function_arn, "apigateway.amazonaws.com", f"{self.execution_arn(api)}/*/*")
        return api

    def websocket_api(
        self,
        function_arn: str,
        *routes: str,
        stages: Sequence[str] = ("live",),
        iam: bool = False,
        replies: bool = False,
    ) -> str:
        """Deploy a WebSocket API that sends all routes to one function. Return its id.

        With `replies`, the function's result is sent back to the connection.
        """
        api = self.apis.create_api(
            Name=unique("ws"),
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression="$request.body.action",
        )["ApiId"]
        path = f"lambda:path/2015-03-31/functions/{function_arn}/invocations"
        uri = f"arn:aws:apigateway:{self.info.region}:{path}"
        integration = self.apis.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri
        )
        for key in routes:
            route = self.apis.create_route(
                ApiId=api,
                RouteKey=key,
                Target=f"integrations/{integration['IntegrationId']}",
                AuthorizationType="AWS_IAM" if iam and key == "$connect" else "NONE",
            )
            if replies:
                self._reply_by_route(api, route["RouteId"])
        for stage in stages:
            self.apis.create_stage(ApiId=api, StageName=stage, AutoDeploy=True)
        self.allow(function_arn, "apigateway.amazonaws.com", f"{self.execution_arn(api)}/*/*")
        return api

    def authorize_connect(self, api: str, function_arn: str, header: str) -> None:
        """Give `$connect` of a WebSocket API a Lambda authorizer that reads a header."""
        path = f"lambda:path/2015-03-31/functions/{function_arn}/invocations"
        authorizer = self.apis.create_authorizer(
            ApiId=api,
            AuthorizerType="REQUEST",
            AuthorizerUri=f"arn:aws:apigateway:{self.info.region}:{path}",
            IdentitySource=[f"route.request.header.{header}"],
            Name=unique("authorizer"),
        )["AuthorizerId"]
        routes = self.apis.get_routes(ApiId=api)["Items"]
        connect = next(route for route in routes if route["RouteKey"] == "$connect")
        self.apis.update_route(
            ApiId=api,
            RouteId=connect["RouteId"],
            AuthorizationType="CUSTOM",
            AuthorizerId=authorizer,
        )
        source = f"{self.execution_arn(api)}/authorizers/{authorizer}"
        self.allow(function_arn, "apigateway.amazonaws.com", source)

    def _reply_by_route(self, api: str, route: str) -> None:
        """Let a WebSocket route send its function's result back to the connection."""
        self.apis.update_route(
            ApiId=api, RouteId=route, RouteResponseSelectionExpression="$default"
        )
        self.apis.create_route_response(ApiId=api, RouteId=route, RouteResponseKey="$default")
