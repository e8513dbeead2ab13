"""The look at live functions every minute, in the sandbox: few calls, and refusals named once."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from types_boto3_lambda.client import LambdaClient

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.configuration.loading import load
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage
from terralive_cli.live.deployed_code import DeployedCodeReader
from terralive_cli.live.stub_check import DeployedCode, Look, Stub, StubCheck
from terralive_cli.live.stub_watch import StubWatch
from terralive_relay.events import Event, Warned
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import CredentialsError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.substitution.marker import StageName
from terralive_testing.deployers.sandbox import Aws
from terralive_workers.function import LocalFunction

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
STUB = DeployedCode("mine=", STUB_HANDLER)
OWN = DeployedCode("own=", "app.handler")


class Looks:
    """Answers of Lambda, one after the other; the last one stays."""

    def __init__(self, *answers: DeployedCode | str | Exception) -> None:
        self._answers = list(answers)
        self.done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __call__(self) -> Look:
        self.done.put(len(self._answers))
        answer = self._answers[0]
        if len(self._answers) > 1:
            del self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return Look({}, answer)
        return Look({ARN: answer})


def watch(looks: Looks) -> list[str]:
    """Run the thread until it has looked as often as there are answers, and twice more."""
    events: list[Event] = []
    check = StubCheck(Stub("mine=", "wss://host/stub", StageName("app", "dev")), {ARN: "orders"})
    one = StubWatch(check, looks, lambda *new: events.extend(new), 0.01)
    one.start()
    try:
        while looks.done.get(timeout=10) > 1:
            pass
        for _ in range(2):
            looks.done.get(timeout=10)
    finally:
        one.close()
    assert one.without_stub == check.without_stub
    return [event.reference for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((STUB,), []),
        ((STUB, OWN), ["stub-replaced"]),
        ((OWN, STUB, OWN), ["stub-replaced", "stub-back", "stub-replaced"]),
        (("not authorized",), ["stub-check-refused"]),
        (("not authorized", OWN), ["stub-check-refused", "stub-replaced"]),
        ((EndpointConnectionError(endpoint_url="https://lambda"), OWN), ["stub-replaced"]),
    ],
)
def test_each_change_is_said_once(
    answers: tuple[DeployedCode | str | Exception, ...], said: list[str]
) -> None:
    assert watch(Looks(*answers)) == said


class NoAccounts(Accounts):
    """Sessions in no account at all."""

    def __init__(self) -> None:
        pass

    def client(self, service: str, account: str, region: str) -> LambdaClient:
        raise CredentialsError(
            "no-account-credentials", f"{service} {region}: no way into {account}"
        )


def test_the_accounts_of_the_live_app_are_looked_at_and_one_without_credentials_is_named(
    tmp_path: Path,
) -> None:
    """The app knows its providers: a CDKTF program's are not beside its code."""
    (tmp_path / "main.tf").write_text("", "utf-8")
    (tmp_path / "terralive.toml").write_text("stub_check_seconds = 1", "utf-8")
    config = load(project=tmp_path, flags={"stage": "dev"}, environ={}, user="ana")
    stage = Stage.__new__(Stage)  # only its configuration is looked at
    object.__setattr__(stage, "config", config)
    function = LocalFunction(
        address="aws_lambda_function.orders",
        runtime="python3.13",
        handler="app.handler",
        path=tmp_path,
        python=Path("python3"),
        name="orders",
        arn=ARN,
    )
    stub = Stub("mine=", "wss://host/stub", StageName("app", "dev"))
    said: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def emit(*events: Event) -> None:
        for event in events:
            said.put(event)

    one = StubWatch.of(stage, emit, stub, LiveApp((function,), {}, {}, NoAccounts()))
    one.start()
    try:
        warning = said.get(timeout=30)
    finally:
        one.close()

    assert isinstance(warning, Warned)
    assert "account 123456789012: lambda eu-west-1: no way into 123456789012." in warning.message


# The reader, in the sandbox

CODE = "def handler(event, context): return 1"


def missing(arn: str) -> str:
    return f"{arn.rpartition(':')[0]}:missing"


class CountedClients:
    """Clients of Lambda with a role's or the developer's keys, and the calls that they made."""

    def __init__(self, info: SandboxInfo, keys: Mapping[str, str] | None = None) -> None:
        self._info = info
        self._keys = keys or {
            "AccessKeyId": info.access_key_id,
            "SecretAccessKey": info.secret_access_key,
        }
        self.calls: list[str] = []

    def __call__(self, account: str, region: str) -> LambdaClient:
        if account != self._info.account_id:
            raise CredentialsError("no-account-credentials", f"No way into {account}.")
        client: LambdaClient = boto3.client(
            "lambda",
            region_name=region,
            endpoint_url=self._info.endpoint,
            aws_access_key_id=self._keys["AccessKeyId"],
            aws_secret_access_key=self._keys["SecretAccessKey"],
            aws_session_token=self._keys.get("SessionToken"),
        )
        client.meta.events.register("before-call", lambda model, **_: self.calls.append(model.name))
        return client


def test_a_few_functions_are_asked_for_one_by_one_in_their_regions(sandbox: SandboxInfo) -> None:
    here, there = Aws(sandbox), Aws(sandbox).in_region("us-west-2")
    arns = [here.function(CODE), there.function(CODE)]
    elsewhere = "arn:aws:lambda:eu-west-1:999999999999:function:orders"
    clients = CountedClients(sandbox)
    reader = DeployedCodeReader(clients)

    look = reader.read([*arns, missing(arns[0]), elsewhere])
    found = look.code

    assert look.not_entered == {"999999999999": "No way into 999999999999."}
    assert found[missing(arns[0])] is None
    assert elsewhere not in found
    for aws, arn in zip((here, there), arns, strict=True):
        deployed = aws.lambda_.get_function_configuration(FunctionName=arn)
        code = found[arn]
        assert code is not None
        assert (code.sha256, code.handler) == (deployed["CodeSha256"], "app.handler")
        assert code.modified == deployed["LastModified"]
    assert clients.calls == ["GetFunctionConfiguration"] * 3


def test_many_functions_are_read_from_one_list(sandbox: SandboxInfo) -> None:
    aws, clients = Aws(sandbox), CountedClients(sandbox)
    role = aws.role()
    arns = [aws.function(CODE, role=role) for _ in range(11)]

    found = DeployedCodeReader(clients).read([*arns, missing(arns[0])]).code

    assert found[missing(arns[0])] is None
    assert {code.handler for arn in arns if (code := found[arn])} == {"app.handler"}
    assert set(clients.calls) == {"ListFunctions"}


def test_a_caller_who_may_not_look_in_one_region_still_looks_in_the_other(
    sandbox: SandboxInfo,
) -> None:
    here, there = Aws(sandbox), Aws(sandbox).in_region("us-west-2")
    arns = [here.function(CODE), there.function(CODE)]
    allowed = {
        "Effect": "Allow",
        "Action": "lambda:GetFunctionConfiguration",
        "Resource": arns[1],
    }
    clients = CountedClients(sandbox, here.role_keys(here.role(allowed)))
    look = DeployedCodeReader(clients).read(arns)
    assert list(look.code) == [arns[1]]
    assert "not authorized" in look.refusal


def test_a_caller_who_may_not_list_all_functions_of_the_account_asks_one_by_one(
    sandbox: SandboxInfo,
) -> None:
    aws = Aws(sandbox)
    role = aws.role()
    arns = [aws.function(CODE, role=role) for _ in range(11)]
    allowed = {
        "Effect": "Allow",
        "Action": "lambda:GetFunctionConfiguration",
        "Resource": arns[:10],
    }
    clients = CountedClients(sandbox, aws.role_keys(aws.role(allowed)))

    look = DeployedCodeReader(clients).read(arns)

    assert look.code.keys() == set(arns[:10])
    assert "not authorized" in look.refusal
    assert clients.calls == ["ListFunctions", *["GetFunctionConfiguration"] * 11]
