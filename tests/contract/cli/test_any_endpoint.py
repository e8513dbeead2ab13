"""Every command against an AWS-compatible endpoint that nobody here wrote: ministack.

The tests run in order: the SNS demo is made live, used, edited, attacked and removed.
"""

from __future__ import annotations

import json
import queue
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from terralive_relay.connection.transport import ClockRead, Transport
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.transport_events import Closed, Opened, TransportEvent
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.project import EXAMPLE, Live, Project
from terralive_testing.drivers.signed_requests import token
from terralive_testing.servers.ministack import (
    PROGRAM,
    REGION,
    Ministack,
    get,
    running_ministack,
)

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PROGRAM.exists(), reason="ministack is not installed"),
]
_LIVE_SECONDS = 300.0
CALLER = "arn:aws:iam::000000000000:root"


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as one:
        yield one


@pytest.fixture(scope="module")
def live(ministack: Ministack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("project") / "sns_demo"
    unwanted = shutil.ignore_patterns(".terralive", "cdktf.out", "__pycache__")
    shutil.copytree(EXAMPLE, root, ignore=unwanted)
    with Command(
        ["--project", str(root), "start", "--yes"], root, ministack.environment
    ) as command:
        try:
            ready = command.wait_for_type("ready", timeout_s=_LIVE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{ministack.last_requests()}") from None
        yield Live(Project(root), command, ready)


def outputs(live: Live) -> dict[str, str]:
    """Outputs of the debug stack."""
    for state in live.project.root.rglob("debug-stack/terraform.tfstate"):
        document = json.loads(state.read_text("utf-8"))
        return {name: output["value"] for name, output in document["outputs"].items()}
    raise AssertionError("there is no state of a debug stack")


def secret(live: Live, ministack: Ministack) -> bytes:
    table = DynamoDBTable(ministack.client("dynamodb"), outputs(live)["table_name"])
    found = table.get_secret()
    assert found is not None
    return found


def attempt(url: str, made_token: str) -> TransportEvent | ClockRead:
    """Open a connection as a relay does, and return its first event."""
    seen: queue.SimpleQueue[TransportEvent | ClockRead] = queue.SimpleQueue()
    failures: list[Exception] = []
    transport = Transport(
        url,
        REGION,
        lambda: Credentials("test", "test"),
        seen.put,
        failures.append,
        token=lambda _: made_token,
    )
    transport.start()
    try:
        return seen.get(timeout=60)
    finally:
        transport.stop()
        assert failures == []


def test_requests_and_messages_run_the_local_handlers(live: Live) -> None:
    answer = get(live.url)
    assert (answer.status_code, answer.text) == (200, "Hello World")
    for function, line in (("api", "published: Hello World"), ("sns", "received: Hello World")):
        begun = live.eventually("invocation", function=live.name_of(function))
        assert live.eventually("result", request_id=begun["request_id"])["ok"]
        assert line in live.log_lines(begun["request_id"])


def test_an_edit_is_live_at_the_next_request(live: Live) -> None:
    live.edit("api", live.project.read_handler("api").replace("Hello World", "Edited"))
    assert get(live.url).text == "Edited"


def test_an_error_of_the_handler_reaches_the_caller(live: Live, ministack: Ministack) -> None:
    live.edit("sns", "def handler(event, context): raise KeyError('no such order')")
    answer = ministack.client("lambda").invoke(FunctionName=live.name_of("sns"), Payload=b"{}")
    document = json.loads(answer["Payload"].read())
    assert answer["FunctionError"]
    # ministack names no handler's error by its type.
    assert document["errorMessage"] == "'no such order'"


@pytest.mark.parametrize("api", list(Api))
def test_without_the_stages_secret_nobody_connects(
    live: Live, ministack: Ministack, api: Api
) -> None:
    url = outputs(live)[f"{api}_url"]
    assert urlsplit(url).scheme == "ws"
    assert str(urlsplit(url).hostname).endswith(".execute-api.localhost")
    mine = secret(live, ministack)
    other = next(item for item in Api if item is not api)
    right = token(api, CALLER, mine)
    for wrong in ("", token(api, CALLER, b"?" * 32), token(other, CALLER, mine), right[:-1]):
        closed = attempt(url, wrong)
        assert isinstance(closed, Closed), wrong
        assert closed.refused_with in {401, 403}, closed.reason
    assert isinstance(attempt(url, right), Opened)
    assert isinstance(attempt(url, right), Closed), "a token works once"


def test_the_path_form_of_an_address_reaches_the_same_api(live: Live, ministack: Ministack) -> None:
    """LocalStack's form of addresses, which ministack answers, too."""
    api = urlsplit(outputs(live)["relay_url"]).netloc.partition(".")[0]
    url = f"{ministack.endpoint}/_aws/execute-api/{api}/relay"
    assert isinstance(attempt(url, token(Api.RELAY, CALLER, secret(live, ministack))), Opened)


def test_destroy_leaves_nothing(live: Live, ministack: Ministack) -> None:
    live.command.interrupt()
    live.command.finish()
    root = live.project.root
    ended = run(
        ["--project", str(root), "destroy", "--app", "--yes"], root, ministack.environment, 300
    )
    assert ended.process.returncode == 0, ended.story()
    assert ministack.client("lambda").list_functions()["Functions"] == []
    assert ministack.client("apigatewayv2").get_apis()["Items"] == []
    assert ministack.client("dynamodb").list_tables()["TableNames"] == []
    assert ministack.client("sns").list_topics()["Topics"] == []
    assert ministack.client("s3").list_buckets()["Buckets"] == []
