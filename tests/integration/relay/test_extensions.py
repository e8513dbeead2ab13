"""Handlers reach the extensions of AWS on localhost, each with its own function's credentials."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from terralive_relay.events import Warned
from terralive_relay.pool.pool import Pool
from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.drivers.workers import Recorder, invocation, local_function
from terralive_workers.function import LayerPart
from terralive_workers.runtime_api.server import RuntimeApi

LAYERS = tuple(
    f"arn:aws:lambda:eu-west-1:1:layer:{name}:1"
    for name in ("AWS-Parameters-and-Secrets-Lambda-Extension", "AWS-AppConfig-Extension")
)
# Asks the extension on the port of its event, or on the one that its variable names.
CODE = """
    import os
    import urllib.error
    import urllib.request

    def ask(event):
        port = event.get("port") or os.environ[event["variable"]]
        url = f"http://localhost:{port}{event['path']}"
        token = event.get("token", os.environ["AWS_SESSION_TOKEN"])
        request = urllib.request.Request(url, headers={"X-Aws-Parameters-Secrets-Token": token})
        request.headers.update(event.get("headers", {}))
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), {}

    if "ASK_AT_INIT" in os.environ:
        EARLY = ask({"variable": "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
                     "path": "/systemsmanager/parameters/get?name=x"})

    def handler(event, context):
        if event is None:
            return EARLY
        return ask(event)
"""
SECRETS_PORT = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"
CONFIG_PORT = "AWS_APPCONFIG_EXTENSION_HTTP_PORT"
Asked = tuple[int, str, Mapping[str, str]]


def free_port() -> int:
    """Return a port that nobody has, and that the system gives to nobody who asks for any."""
    while True:
        port = random.randrange(20000, 32000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue  # somebody has it


@dataclass
class Machine:
    """Functions that run on this machine, and what they print."""

    folder: Path
    api: RuntimeApi
    sink: Recorder = field(default_factory=Recorder)
    pools: dict[str, Pool] = field(default_factory=dict)

    def ask(self, name: str, environment: Mapping[str, str], event: object) -> Asked:
        """Have a function ask an extension. Return status, body and headers."""
        if name not in self.pools:
            code = self.folder / name
            code.mkdir()
            function = replace(
                local_function(code, CODE),
                name=name,
                arn=f"arn:aws:lambda:eu-west-1:1:function:{name}",
                layers=tuple(LayerPart(code / "none", arn=arn) for arn in LAYERS),
            )
            self.pools[name] = Pool(function, self.api, self.sink)
        call = invocation(event, environment=environment)
        outcome = self.pools[name].submit(call).result(timeout=60).outcome
        assert outcome.ok, outcome.body
        status, body, headers = json.loads(outcome.body)
        return status, body, headers


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, RuntimeApi())
    yield machine
    for pool in machine.pools.values():
        pool.close()
    machine.api.close()


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def client(aws: Aws, service: str) -> Any:  # noqa: ANN401  # no stubs of these services
    return boto3.client(
        service,  # type: ignore[call-overload]  # by name
        endpoint_url=aws.info.endpoint,
        region_name=aws.info.region,
        aws_access_key_id=aws.info.access_key_id,
        aws_secret_access_key=aws.info.secret_access_key,
    )


def environment(aws: Aws, *statements: Mapping[str, object], **others: str) -> dict[str, str]:
    """Return the environment of a function whose role may do what `statements` say."""
    keys = aws.role_keys(aws.role(*statements))
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_REGION": aws.info.region,
        "AWS_ENDPOINT_URL": aws.info.endpoint,
        **others,
    }


def test_functions_get_parameters_and_secrets_with_their_own_roles(
    machine: Machine, aws: Aws
) -> None:
    """Both ask on the same port, as code does that names the port itself."""
    name, port = unique("extension"), str(free_port())
    client(aws, "ssm").put_parameter(Name=f"/{name}/url", Value="v1", Type="SecureString")
    client(aws, "ssm").put_parameter(
        Name=f"/{name}/url", Value="v2", Type="SecureString", Overwrite=True
    )
    secret = client(aws, "secretsmanager").create_secret(Name=name, SecretBinary=b"\xff\x00")["ARN"]
    reads_parameters = environment(
        aws,
        {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"},
        **{SECRETS_PORT: port},
    )
    reads_secrets = environment(
        aws,
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"},
        **{SECRETS_PORT: port},
    )
    parameter = f"/systemsmanager/parameters/get?name=%2F{name}%2Furl&withDecryption=true"
    value = f"/secretsmanager/get?secretId={secret}"

    for place in ({"port": port}, {"variable": SECRETS_PORT}):
        status, body, _ = machine.ask("one", reads_parameters, {"path": parameter, **place})
        assert status == 200, body
        found = json.loads(body)
        assert found["ResultMetadata"] == {}
        assert found["Parameter"]["Value"] == "v2"
        assert found["Parameter"]["Version"] == 2
        assert found["Parameter"]["SourceResult"] is None
        assert found["Parameter"]["LastModifiedDate"].endswith("Z")

        status, body, _ = machine.ask("two", reads_secrets, {"path": value, **place})
        assert status == 200, body
        found = json.loads(body)
        assert (found["ARN"], found["SecretBinary"]) == (secret, "/wA=")
        assert found["SecretString"] is None
        assert found["VersionStages"] == ["AWSCURRENT"]

        # Neither may do what the other one may.
        for function, keys, path in (
            ("two", reads_secrets, parameter),
            ("one", reads_parameters, value),
        ):
            status, body, _ = machine.ask(function, keys, {"path": path, **place})
            assert (status, body) == (
                400,
                "an unexpected error occurred while executing request",
            )
    assert any("AccessDeniedException" in line for line in machine.sink.lines())

    # The token of another function opens nothing on the worker's own port.
    stolen = {"token": reads_parameters["AWS_SESSION_TOKEN"], "path": parameter}
    for place in ({"port": port}, {"variable": SECRETS_PORT}):
        assert machine.ask("two", reads_secrets, {**stolen, **place})[0] == 401
    page = {"path": parameter, "port": port, "headers": {"Origin": "https://example.com"}}
    assert machine.ask("one", reads_parameters, page)[0] == 403
    version = {"path": f"{parameter}&version=1", "port": port}
    assert json.loads(machine.ask("one", reads_parameters, version)[1])["Parameter"]["Value"] == (
        "v1"
    )

    # What was read is kept; what was not kept is read anew.
    client(aws, "ssm").put_parameter(Name=f"/{name}/url", Value="v3", Type="String", Overwrite=True)
    kept = machine.ask("one", reads_parameters, {"path": parameter, "port": port})
    assert json.loads(kept[1])["Parameter"]["Value"] == "v2"
    anew = {**reads_parameters, "SSM_PARAMETER_STORE_TTL": "0"}
    status, body, _ = machine.ask("one", anew, {"path": parameter, "port": port})
    assert json.loads(body)["Parameter"]["Value"] == "v3"


def test_the_extension_is_not_ready_before_the_first_invocation(machine: Machine, aws: Aws) -> None:
    early = machine.ask("early", environment(aws, ASK_AT_INIT="1"), None)
    assert early[:2] == (400, "not ready to serve traffic, please wait")


def test_a_port_that_another_program_has_is_named_and_the_own_port_works(
    machine: Machine, aws: Aws
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        keys = environment(aws, **{SECRETS_PORT: port})
        event = {"variable": SECRETS_PORT, "path": "/secretsmanager/get?secretId=none"}
        assert machine.ask("taken", keys, event)[0] == 400
    warned = [item for item in machine.sink.of_type(Warned) if "port-taken" in item.reference]
    assert [port in item.message for item in warned] == [True]
    assert SECRETS_PORT in warned[0].message


@dataclass
class ConfigurationService:
    """AppConfig's data plane, of which moto has nothing: one answer for each set of keys.

    https://docs.aws.amazon.com/appconfig/latest/APIReference/API_Operations_AWS_AppConfig_Data.html
    """

    url: str = ""
    configurations: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    started: list[Mapping[str, str]] = field(default_factory=list)
    # The tokens that are good for one question.
    tokens: list[str] = field(default_factory=list)

    def start(self, session: Mapping[str, str]) -> str:
        self.started.append(session)
        return self.next_token()

    def next_token(self) -> str:
        token = f"token-{len(self.tokens)}-{len(self.started)}-{unique('t')}"
        self.tokens.append(token)
        return token


@pytest.fixture
def appconfig() -> Iterator[ConfigurationService]:
    service = ConfigurationService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, {}, json.dumps({"InitialConfigurationToken": service.start(content)}))

        def do_GET(self) -> None:
            token = parse_qs(urlsplit(self.path).query)["configuration_token"][0]
            key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
            if token not in service.tokens or key not in service.configurations:
                self.answer(404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, "{}")
                return
            service.tokens.remove(token)
            content_type, content = service.configurations[key]
            headers = {
                "Next-Poll-Configuration-Token": service.next_token(),
                "Next-Poll-Interval-In-Seconds": "60",
                "Content-Type": content_type,
                "Version-Label": "v7",
            }
            self.answer(200, headers, content.decode())

        def answer(self, status: int, headers: Mapping[str, str], content: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield service
    server.shutdown()
    server.server_close()


def test_functions_get_configurations_with_their_own_credentials_on_one_port(
    machine: Machine, appconfig: ConfigurationService
) -> None:
    """No token tells who asks: the connection does."""
    port = str(free_port())
    flags: dict[str, dict[str, object]] = {
        "new": {"enabled": True, "share": 3},
        "old": {"enabled": False},
    }

    def keys(name: str, **others: str) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": name,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": f"token-of-{name}",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_APPCONFIGDATA": appconfig.url,
            CONFIG_PORT: port,
            **others,
        }

    appconfig.configurations["FLAGS"] = ("application/json", json.dumps(flags).encode())
    appconfig.configurations["TEXT"] = ("text/plain", b"timeout = 3")
    path = "/applications/the%20app/environments/dev/configurations/main"
    for place in ({"port": port}, {"variable": CONFIG_PORT}):
        status, body, _ = machine.ask("flags", keys("FLAGS"), {"path": path, **place})
        assert (status, json.loads(body)) == (200, flags)
        status, body, headers = machine.ask("text", keys("TEXT"), {"path": path, **place})
        assert (status, body) == (200, "timeout = 3")
        assert (headers["Content-Type"], headers["Version-Label"]) == ("text/plain", "v7")
    assert appconfig.started[0] == {
        "ApplicationIdentifier": "the app",
        "EnvironmentIdentifier": "dev",
        "ConfigurationProfileIdentifier": "main",
    }

    one = machine.ask("flags", keys("FLAGS"), {"path": f"{path}?flag=new", "port": port})
    assert json.loads(one[1]) == flags["new"]
    both = machine.ask("flags", keys("FLAGS"), {"path": f"{path}?flag=new&flag=old", "port": port})
    assert json.loads(both[1]) == flags
    # One session for each worker: what was read is kept for the poll interval.
    assert len(appconfig.started) == 2

    # With an interval of 0, each request asks again, in the same session.
    often = keys("FLAGS", AWS_APPCONFIG_EXTENSION_POLL_INTERVAL_SECONDS="0")
    for share in (4, 5):
        flags["new"]["share"] = share
        appconfig.configurations["FLAGS"] = ("application/json", json.dumps(flags).encode())
        status, body, _ = machine.ask("flags", often, {"path": f"{path}?flag=new", "port": port})
        assert json.loads(body)["share"] == share
    assert len(appconfig.started) == 3
    # What is known is served when AppConfig fails.
    del appconfig.configurations["FLAGS"]
    status, body, _ = machine.ask("flags", often, {"path": f"{path}?flag=new", "port": port})
    assert (status, json.loads(body)["share"]) == (200, 5)

    assert machine.ask("none", keys("NONE"), {"path": path, "port": port})[0] == 404
    assert machine.ask("none", keys("NONE"), {"path": "/other", "port": port})[0] == 404
    appconfig.configurations["ION"] = ("application/ion; type=AWS.AppConfig.FeatureFlags", b"'a'")
    assert machine.ask("ion", keys("ION"), {"path": path, "port": port})[0] == 501

    # A program that is no worker's gets nobody's configuration.
    with socket.create_connection(("127.0.0.1", int(port))) as stranger:
        stranger.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: stranger.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 403")
