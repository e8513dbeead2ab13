"""What the benchmarks share.

A line of output, and the smallest way to put something into a sandbox.
"""

from __future__ import annotations

import io
import json
import statistics
import zipfile
from typing import Any

import boto3
from botocore.config import Config

from terralive_sandbox.info import SandboxInfo

TIMEOUT_SECONDS = 240  # of every function; its queue must hold a message for at least as long
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


def say(what: str, figure: str, beside: str = "") -> None:
    print(f"  {what:<42} {figure:>14}   {beside}", flush=True)


def milliseconds(durations: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(durations) * 1000, statistics.quantiles(durations, n=20)[-1] * 1000


class Deployer:
    """The smallest way to put functions and APIs into the sandbox."""

    def __init__(self, info: SandboxInfo) -> None:
        self.info = info
        self._session = boto3.Session(
            info.access_key_id, info.secret_access_key, region_name=info.region
        )
        iam = self.client("iam")
        trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}
        made = iam.create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(
            RoleName="bench", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING)
        )
        self.role = made["Role"]["Arn"]

    def client(self, service: str) -> Any:  # noqa: ANN401 - one of many
        config = Config(
            max_pool_connections=50, retries={"total_max_attempts": 1}, read_timeout=300
        )
        return self._session.client(service, endpoint_url=self.info.endpoint, config=config)  # type: ignore[call-overload] # by name

    def function(self, name: str, source: str, **variables: str) -> str:
        """A function of `app.handler`; its ARN."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", source)
        return self.zipped(name, archive.getvalue(), "app.handler", **variables)

    def zipped(self, name: str, archive: bytes, handler: str, **variables: str) -> str:
        """A function of a built zip; its ARN."""
        made = self.client("lambda").create_function(
            FunctionName=name, Runtime="python3.12", Handler=handler, Role=self.role, Timeout=TIMEOUT_SECONDS,
            Code={"ZipFile": archive}, Environment={"Variables": variables},
        )  # fmt: skip
        self.client("lambda").add_permission(
            FunctionName=name,
            StatementId="api",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )
        return str(made["FunctionArn"])

    def api(self, protocol: str, function: str, *routes: str, replies: bool = False) -> str:
        """An API whose routes all lead to one function; its id. The stage is `live`."""
        apis = self.client("apigatewayv2")
        selection = (
            {"RouteSelectionExpression": "$request.body.action"} if protocol == "WEBSOCKET" else {}
        )
        api = str(apis.create_api(Name="bench", ProtocolType=protocol, **selection)["ApiId"])
        payload = {"PayloadFormatVersion": "2.0"} if protocol == "HTTP" else {}
        uri = f"arn:aws:apigateway:{self.info.region}:lambda:path/2015-03-31/functions/{function}/invocations"
        integration = apis.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri, **payload
        )
        for key in routes:
            answers = {"RouteResponseSelectionExpression": "$default"} if replies else {}
            target = f"integrations/{integration['IntegrationId']}"
            route = apis.create_route(ApiId=api, RouteKey=key, Target=target, **answers)
            if replies:
                apis.create_route_response(
                    ApiId=api, RouteId=route["RouteId"], RouteResponseKey="$default"
                )
        apis.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
        return api
