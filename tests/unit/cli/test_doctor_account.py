"""`terralive doctor`: permissions by IAM's simulator, and the way to API Gateway."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from terralive_cli.deploy.aws import Caller
from terralive_cli.doctor.account.connection import (
    addresses,
    check_connection,
    connection_outcome,
    proxy_of,
)
from terralive_cli.doctor.account.permissions import (
    check_permissions,
    permissions_outcome,
    role_of,
    simulations,
)
from terralive_cli.doctor.findings import CheckState, Outcome, SkippedError
from terralive_cli.permissions.policies import PolicyScope
from terralive_relay.connection.probe import Answer, ask
from terralive_stub.shared.sigv4 import Credentials

SCOPE = PolicyScope("123456789012", "eu-west-1", "orders", "dev-ana")
RELAY = "wss://abc.execute-api.eu-west-1.amazonaws.com/relay"
ROLE = "arn:aws:iam::123456789012:role/team/dev"


def references(outcome: Outcome) -> list[str]:
    return [finding.reference for finding in outcome.findings]


@dataclass
class OneClient:
    """A session whose only client is IAM's, with the answers of a test."""

    session: boto3.Session = field(
        default_factory=lambda: boto3.Session(
            aws_access_key_id="AKID", aws_secret_access_key="s", region_name="eu-west-1"
        )
    )

    def __post_init__(self) -> None:
        self.iam = self.session.client("iam")
        self.answers = Stubber(self.iam)

    def client(self, service: str, **settings: Any) -> Any:  # noqa: ANN401  # as boto3's
        if service == "iam" and "config" in settings:
            return self.iam
        settings["endpoint_url"] = None
        return self.session.client(service, **settings)  # type: ignore[call-overload]

    def caller(self, arn: str) -> Caller:
        return Caller(
            "123456789012",
            arn,
            "eu-west-1",
            credentials=lambda: Credentials("AKID", "s", ""),
            session=self,  # type: ignore[arg-type]
            endpoint_url=None,
        )

    def simulate(self, policy: str, *denied: str) -> None:
        """Answer the simulation of a policy."""
        for wanted in simulations(policy, SCOPE, "aws"):
            results = [
                {
                    "EvalActionName": action,
                    "EvalDecision": "implicitDeny" if action in denied else "allowed",
                }
                for action in wanted.actions
            ]
            self.answers.add_response(
                "simulate_principal_policy",
                {"EvaluationResults": results},
                {
                    "PolicySourceArn": ROLE,
                    "ActionNames": list(wanted.actions),
                    "ResourceArns": list(wanted.resources),
                    "ContextEntries": ANY,
                },
            )


@pytest.fixture
def aws() -> Iterator[OneClient]:
    one = OneClient()
    with one.answers:
        yield one
        one.answers.assert_no_pending_responses()


def role_is_known(aws: OneClient) -> None:
    role = {
        "Path": "/team/",
        "RoleName": "dev-role-name",
        "RoleId": "AROA1234567890123",
        "Arn": ROLE,
        "CreateDate": "2026-01-01T00:00:00Z",
    }
    aws.answers.add_response("get_role", {"Role": role}, {"RoleName": "dev"})


SESSION = "arn:aws:sts::123456789012:assumed-role/dev/ana@acme"


def test_the_documented_policies_are_simulated_for_the_role_of_the_session(
    aws: OneClient,
) -> None:
    role_is_known(aws)
    aws.simulate("developer")
    outcome = check_permissions(aws.caller(SESSION), SCOPE)
    assert outcome.state is CheckState.OK


def test_who_may_only_join_is_told_what_is_denied(aws: OneClient) -> None:
    role_is_known(aws)
    aws.simulate("developer", "dynamodb:CreateTable", "iam:CreateRole")
    aws.simulate("joiner")
    outcome = check_permissions(aws.caller(SESSION), SCOPE)
    assert references(outcome) == ["permissions-to-join-only"]
    assert "dynamodb:CreateTable, iam:CreateRole" in outcome.findings[0].message


def test_a_caller_that_may_not_simulate_is_told_so(aws: OneClient) -> None:
    aws.answers.add_client_error("get_role", "AccessDenied")
    with pytest.raises(SkippedError, match="iam:SimulatePrincipalPolicy"):
        check_permissions(aws.caller(SESSION), SCOPE)


def test_the_root_user_is_not_simulated(aws: OneClient) -> None:
    with pytest.raises(SkippedError, match="users and roles only"):
        check_permissions(aws.caller("arn:aws:iam::123456789012:root"), SCOPE)


def test_a_developer_who_can_neither_create_nor_join_has_failed() -> None:
    outcome = permissions_outcome(["iam:CreateRole"], ["dynamodb:GetItem"])
    assert references(outcome) == ["permissions-missing"]
    assert outcome.state is CheckState.FAILED


def test_the_simulator_gets_arns_without_wildcards_in_the_partition_of_the_account() -> None:
    wanted = simulations("developer", SCOPE, "aws-cn")
    arns = {arn for simulation in wanted for arn in simulation.resources}
    assert "arn:aws-cn:dynamodb:eu-west-1:123456789012:table/terralive-orders-dev-anadoctor" in arns
    assert {arn for arn in arns if "*" in arn} == {"*"}
    assert not [arn for arn in arns if arn.startswith("arn:aws:")]
    (passed,) = [item for item in wanted if item.actions == ("iam:PassRole",)]
    assert passed.context == {"iam:PassedToService": "lambda.amazonaws.com"}


def test_the_role_of_an_assumed_role_is_known() -> None:
    assert role_of(SESSION) == "dev"
    assert role_of("arn:aws:iam::123456789012:user/ana") == ""


# The way to API Gateway


def test_a_refusal_of_api_gateway_is_the_answer_that_is_looked_for() -> None:
    refused = Answer(403, {"x-amzn-requestid": "1", "x-amzn-errortype": "ForbiddenException"})
    outcome = connection_outcome(RELAY, refused, "http://ana:secret@proxy.acme.example:3128")
    assert outcome.state is CheckState.OK
    assert outcome.message.endswith("answers through the proxy proxy.acme.example:3128")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (Answer(403, {"server": "squid"}), "websocket-blocked"),
        (Answer(407, {}), "websocket-blocked"),
        (Answer(error="timed out"), "websocket-unreachable"),
        (Answer(error="self-signed", is_untrusted=True), "certificate-untrusted"),
    ],
)
def test_a_proxy_that_lets_no_websocket_through_is_told(answer: Answer, reference: str) -> None:
    assert references(connection_outcome(RELAY, answer, "")) == [reference]


def test_before_there_is_a_debug_stack_the_region_is_asked() -> None:
    assert addresses("eu-west-1", "amazonaws.com") == (
        "wss://terralive0.execute-api.eu-west-1.amazonaws.com/relay",
        "wss://execute-api.eu-west-1.amazonaws.com/",
    )


def test_the_proxy_is_that_of_the_environment() -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128"}
    assert proxy_of(RELAY, environ) == "http://proxy:3128"
    assert proxy_of("ws://abc.example.com/relay", environ) == ""


class _Refusing(BaseHTTPRequestHandler):
    """API Gateway, which refuses a request without a signature, and a proxy that wants a login."""

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        assert self.headers["Upgrade"] == "websocket"
        assert "Authorization" not in self.headers
        self.send_response(403)
        self.send_header("x-amzn-RequestId", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        pass


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.server_port}/relay"
        finally:
            server.shutdown()
            thread.join()


def test_a_websocket_is_asked_for_without_a_signature() -> None:
    with serving() as url:
        answer = ask(url, None)
        outcome = check_connection([url], "")
    assert (answer.status, answer.headers["x-amzn-requestid"]) == (403, "1")
    assert outcome.state is CheckState.OK


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = check_connection([f"ws://127.0.0.1:{free.getsockname()[1]}/relay"], "")
    assert references(outcome) == ["websocket-unreachable"]


def test_a_proxy_that_refuses_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving() as url:
        port = url.removesuffix("/relay").rpartition(":")[2]
        proxy = f"http://ana:secret@127.0.0.1:{port}"
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        urls = addresses("eu-west-1", "amazonaws.com")
        outcome = check_connection(urls, proxy_of(urls[0], os.environ))
    (finding,) = outcome.findings
    assert finding.reference == "websocket-unreachable"
    assert f"through the proxy 127.0.0.1:{port}: " in finding.message
    assert "407" in finding.message
    assert "NO_PROXY" in finding.fix
    assert "secret" not in str(outcome)
