"""Functions that isolate their tenants, in the sandbox and on this machine."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_relay.pool.pool import Pool
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.deployers.rest_api import RestApi, lambda_uri
from terralive_testing.deployers.sandbox import Aws, code, unique
from terralive_testing.deployers.stage import deploy
from terralive_testing.drivers.workers import Recorder, invocation, local_function
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

# Tells who its environment has served before.
HANDLER = """
tenants = []

def handler(event, context):
    tenants.append(context.tenant_id)
    print("tenant", context.tenant_id)
    return tenants
"""


ANSWER = """return {"statusCode": 200, "body": __import__("json").dumps(tenants)}"""
TENANT = "integration.request.header.X-Amz-Tenant-Id"


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def invoke(aws: Aws, function: str, tenant: str, **options: Any) -> Any:  # noqa: ANN401 - any JSON
    answer = aws.lambda_.invoke(FunctionName=function, TenantId=tenant, **options)
    return json.loads(answer["Payload"].read() or b"null")


def test_a_worker_serves_one_tenant_only(tmp_path: Path) -> None:
    """Also where there may be one worker only, which another one then replaces."""
    api = RuntimeApi()
    pool = Pool(local_function(tmp_path, HANDLER, max_workers=1), api, Recorder())
    try:
        served: Counter[str] = Counter()
        for tenant in ("blue", "blue", "green", "blue", ""):
            outcome = pool.submit(invocation(tenant_id=tenant)).result(timeout=60).outcome
            former = json.loads(outcome.body)
            # The present invocation is the last one of its list.
            assert set(former) == {tenant or None}
            served[tenant] = max(served[tenant], len(former))
        assert served == {"blue": 2, "green": 1, "": 1}
    finally:
        pool.close()
        api.close()


def test_the_sandbox_keeps_environments_apart_and_wants_a_tenant(aws: Aws) -> None:
    isolated = aws.function(HANDLER, isolates_tenants=True, name=unique("tenants"))
    other = aws.function(HANDLER)
    config = aws.lambda_.get_function_configuration(FunctionName=isolated)
    assert config["TenancyConfig"] == {"TenantIsolationMode": "PER_TENANT"}
    assert invoke(aws, isolated, "blue") == ["blue"]
    assert invoke(aws, isolated, "green") == ["green"]
    assert invoke(aws, isolated, "blue")[-1] == "blue"
    assert invoke(aws, isolated, "red", InvocationType="Event") is None

    def logged() -> bool:
        events = aws.logs.filter_log_events(
            logGroupName=f"/aws/lambda/{isolated.rpartition(':')[2]}", filterPattern="tenant"
        )["events"]
        return any(event["message"].strip() == "tenant red" for event in events)

    eventually(logged, "the asynchronous invocation of a tenant")
    for kind in ("RequestResponse", "Event"):
        with pytest.raises(ClientError, match="Add a valid tenant ID") as raised:
            aws.lambda_.invoke(FunctionName=isolated, InvocationType=kind)
        assert raised.value.response["Error"]["Code"] == "InvalidParameterValueException"
        with pytest.raises(ClientError, match="not enabled with tenancy") as raised:
            aws.lambda_.invoke(FunctionName=other, InvocationType=kind, TenantId="blue")
        assert raised.value.response["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(ClientError, match="PER_TENANT"):
        aws.lambda_.create_function(
            FunctionName=unique("wrong"),
            Runtime=config["Runtime"],
            Role=config["Role"],
            Code={"ZipFile": code(HANDLER)},
            Handler="app.handler",
            TenancyConfig={"TenantIsolationMode": "SOME"},  # type: ignore[typeddict-item]
        )


def test_a_rest_api_names_the_tenant_that_its_integration_maps(aws: Aws) -> None:
    isolated = aws.function(HANDLER.replace("return tenants", ANSWER), isolates_tenants=True)
    api = RestApi(aws)
    api.method(
        "GET",
        "/mapped",
        lambda_uri(aws, isolated),
        mapped={TENANT: "method.request.header.X-Tenant"},
    )
    api.method("GET", "/not-mapped", lambda_uri(aws, isolated))
    aws.allow(isolated, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/*")
    api.deploy()
    for tenant in ("blue", "green"):
        answer = api.ask("GET", "/mapped", headers={"X-Tenant": tenant})
        assert answer.json() == [tenant]
    unmapped = api.ask("GET", "/not-mapped", headers={"X-Amz-Tenant-Id": "blue"})
    assert unmapped.status_code == 500


@pytest.fixture
def live(aws: Aws, tmp_path: Path) -> Iterator[str]:
    """The ARN of a live function that isolates its tenants."""
    stage = deploy(aws, tmp_path / "zips", {"fn": 60}, isolated=("fn",))
    (tmp_path / "app.py").write_text(HANDLER)
    function = LocalFunction(
        name=stage.functions["fn"],
        arn=stage.arns["fn"],
        address="aws_lambda_function.fn",
        runtime="python3.12",
        handler="app.handler",
        path=tmp_path,
        python=Path(sys.executable),
        max_workers=2,
    )
    settings = RelaySettings(
        stage.url,
        aws.info.region,
        stage.name,
        RelayIdentity("life", (function.arn,), "ana", "laptop"),
        (function,),
        aws.caller_arn,
        stage.secret,
    )
    keys = Credentials(aws.info.access_key_id, aws.info.secret_access_key)
    relay = Relay(settings, lambda: keys, Recorder())
    relay.start()
    try:
        relay.wait_connected(60)
        yield function.arn
    finally:
        relay.stop()


def test_a_live_handler_knows_its_tenant_and_shares_no_worker(aws: Aws, live: str) -> None:
    for tenant in ("blue", "green", "blue"):
        assert set(invoke(aws, live, tenant)) == {tenant}
