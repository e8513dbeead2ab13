"""Execution environments run functions as Lambda's do.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import signal
import socket
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.functions.environments.environment import (
    ExecutionEnvironment,
    ExecutionResult,
)
from terralive_sandbox.functions.logs import FunctionLog
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.places import Place
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_testing.deployers.event_sources import logged
from terralive_testing.deployers.sandbox import Aws, code, running_sandbox, unique
from terralive_testing.machine.processes import wait_until_frozen
from terralive_testing.machine.waiting import eventually
from terralive_workers.environment import worker_environment
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.runtime_api.server import RuntimeApi

# With a port, it runs until the test's `Gate` there opens.
SCRATCH = """
import os, socket
print("init of", os.getpid())
def handler(event, context):
    seen = os.path.exists("/tmp/mine")
    open("/tmp/mine", "w").write(context.aws_request_id)
    if event["port"]:
        socket.create_connection(("127.0.0.1", event["port"])).recv(1)
    return {"seen": seen, "pid": os.getpid(), "stream": context.log_stream_name,
            "tmpdir": os.environ["TMPDIR"], "key": os.environ["AWS_ACCESS_KEY_ID"]}
"""


# A pause in which a thread that is not frozen would go on.
PAUSE_SECONDS = 0.5


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def invoke(aws: Aws, arn: str, event: object = None) -> Any:  # noqa: ANN401 - JSON
    return json.loads(
        aws.lambda_.invoke(FunctionName=arn, Payload=json.dumps(event).encode())["Payload"].read()
    )


class Gate:
    """Invocations of SCRATCH that run until the test opens the gate."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(60)
        self._held: list[socket.socket] = []
        self.event = {"port": self._server.getsockname()[1]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self._server.close()

    def wait_for(self, count: int) -> None:
        """Wait until so many more invocations run."""
        for _ in range(count):
            self._held.append(self._server.accept()[0])

    def open(self) -> None:
        """Let the invocations that run go on."""
        for connection in self._held:
            connection.close()
        self._held.clear()


NOT_HELD = {"port": 0}


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in /proc"
)


def test_an_environment_stands_still_between_invocations_and_goes_on_where_it_was(aws: Aws) -> None:
    arn = aws.function(
        """
        import os, threading, time
        ticks = 0
        longest = 0.0
        def tick():
            global ticks, longest
            while True:
                before = time.monotonic()
                time.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
                ticks += 1
        threading.Thread(target=tick, daemon=True).start()
        def handler(event, context):
            first = ticks
            while ticks < first + 2:
                time.sleep(0.001)
            return {"pid": os.getpid(), "first": first, "ticks": ticks, "longest": longest}
        """
    )
    first = invoke(aws, arn)
    wait_until_frozen(first["pid"])
    time.sleep(PAUSE_SECONDS)
    second = invoke(aws, arn)
    assert second["pid"] == first["pid"]
    assert second["first"] >= first["ticks"]
    # A thread that is not frozen ticks during the pause, too.
    assert second["longest"] >= PAUSE_SECONDS


def test_invocations_at_once_have_environments_tmp_credentials_and_log_streams_of_their_own(
    aws: Aws,
) -> None:
    arn = aws.function(SCRATCH, timeout=60)
    with ThreadPoolExecutor(2) as pool, Gate() as gate:
        calls = [pool.submit(invoke, aws, arn, gate.event) for _ in range(2)]
        gate.wait_for(2)
        gate.open()
        one, other = (call.result() for call in calls)
    assert one["pid"] != other["pid"]
    assert one["key"] != other["key"]
    assert one["key"].startswith("ASIA")
    assert one["stream"] != other["stream"]
    wait_until_frozen(one["pid"], other["pid"])
    again = invoke(aws, arn, NOT_HELD)
    assert again["pid"] in {one["pid"], other["pid"]}
    if one["tmpdir"] != "/tmp":  # noqa: S108  # the function reports it
        pytest.skip("this machine allows no mount namespaces: /tmp is not private")
    assert (one["seen"], other["seen"], again["seen"]) == (False, False, True)
    assert not Path("/tmp/mine").exists()  # noqa: S108  # the test is about this folder


def test_a_cold_start_is_in_the_report_and_a_warm_one_is_not(aws: Aws) -> None:
    arn = aws.function(SCRATCH)
    logs = []
    for _ in range(2):
        payload = json.dumps(NOT_HELD).encode()
        answer = aws.lambda_.invoke(FunctionName=arn, LogType="Tail", Payload=payload)
        logs.append(base64.b64decode(answer["LogResult"]).decode())
        wait_until_frozen(json.loads(answer["Payload"].read())["pid"])
    assert ["Init Duration" in log for log in logs] == [True, False]


def test_code_that_does_not_come_up_is_tried_twice_and_then_the_callers_error(aws: Aws) -> None:
    arn = aws.function(
        "print('coming up')\nimport missing_module\ndef handler(event, context):\n    pass\n"
    )
    answer = aws.lambda_.invoke(FunctionName=arn)
    assert answer["FunctionError"] == "Unhandled"
    document = json.loads(answer["Payload"].read())
    assert document["errorType"] == "Runtime.ImportModuleError"
    assert "missing_module" in document["errorMessage"]
    lines = log_lines(aws, arn, "REPORT RequestId")
    assert lines.count("coming up") == 2
    assert any(
        line.startswith("INIT_REPORT Init Duration") and "Phase: init" in line for line in lines
    )
    good = code("import os\ndef handler(event, context):\n    return os.getcwd()\n")
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=good)
    # The folder of a deployment holds that of the code, which is the working directory.
    folder = Path(invoke(aws, arn)).parent
    name = arn.rpartition(":")[2]
    eventually(lambda: [found.name for found in folder.parent.glob(f"{name}-*")] == [folder.name])


def log_lines(aws: Aws, arn: str, until: str) -> list[str]:
    """Return the lines of a function's log once one of them begins with `until`."""
    eventually(lambda: any(line.startswith(until) for line in logged(aws, arn)))
    return logged(aws, arn)


def test_an_init_of_more_than_ten_seconds_is_begun_again_within_the_functions_timeout(
    aws: Aws,
) -> None:
    slow = aws.function(
        "import time\ntime.sleep(60)\ndef handler(event, context):\n    return 1\n", timeout=1
    )
    # only the first init phase is slow: the second one begins ten seconds later
    second = aws.function(
        """
        import os, time
        if time.time() < float(os.environ["UNTIL"]):
            time.sleep(60)
        def handler(event, context):
            return "came up"
        """,
        timeout=20,
        environment={"UNTIL": str(time.time() + 10)},
    )
    with ThreadPoolExecutor(2) as pool:
        too_slow, came_up = pool.map(lambda arn: invoke(aws, arn), (slow, second))
    assert "Task timed out after 1.00 seconds" in too_slow["errorMessage"]
    assert came_up == "came up"
    assert any("Status: timeout" in line for line in log_lines(aws, slow, "REPORT"))


@needs_proc
def test_a_crash_is_the_callers_error_and_the_next_invocation_has_a_fresh_environment(
    aws: Aws,
) -> None:
    arn = aws.function(
        """
        import os
        def handler(event, context):
            if event == "crash":
                os._exit(3)
            if event == "child":
                child = os.fork()
                if not child:
                    import time
                    time.sleep(600)
                return [os.getpid(), child]
            return [os.getpid()]
        """
    )
    (before,) = invoke(aws, arn)
    wait_until_frozen(before)
    crashed = invoke(aws, arn, "crash")
    assert crashed["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in crashed["errorMessage"]
    after, child = invoke(aws, arn, "child")
    assert after != before
    aws.lambda_.update_function_configuration(FunctionName=arn, Timeout=9)
    assert invoke(aws, arn) != [after]
    eventually(lambda: not Path(f"/proc/{after}").exists() and not Path(f"/proc/{child}").exists())


def runtime_zip(bootstrap: str, source: str, *packages: str) -> bytes:
    """Return a zip with an executable `bootstrap`, app.py and installed packages."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, bootstrap)
        archive.writestr("app.py", source)
        for package in packages:
            spec = importlib.util.find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            origin = Path(spec.origin)
            files = origin.parent.rglob("*") if origin.name == "__init__.py" else [origin]
            root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(root))
    return buffer.getvalue()


HANDLER = """
import os
def handler(event, context):
    if event == "fail":
        raise LookupError("not there")
    print("seen", event)
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "memory": int(context.memory_limit_in_mb), "name": context.function_name,
            "region": os.environ["AWS_REGION"],
            "left": 0 < context.get_remaining_time_in_millis() <= 10000}
"""


def custom_runtime(aws: Aws, zip_file: bytes) -> str:
    return aws.lambda_.create_function(
        FunctionName=unique("custom"),
        Runtime="provided.al2023",
        Handler="app.handler",
        Timeout=10,
        MemorySize=256,
        Role=aws.role({"Effect": "Allow", "Action": "logs:*", "Resource": "*"}),
        Code={"ZipFile": zip_file},
    )["FunctionArn"]


def test_awslambdaric_in_a_zip_is_as_good_a_runtime_as_our_own(aws: Aws) -> None:
    bootstrap = (
        f'#!/bin/sh\ncd "$LAMBDA_TASK_ROOT"\nexec {sys.executable} -s -m awslambdaric "$_HANDLER"\n'
    )
    packages = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
    theirs = custom_runtime(aws, runtime_zip(bootstrap, HANDLER, *packages))
    ours = aws.function(HANDLER)
    big = "x" * 3_000_000
    for event in ({"a": [1, "ü", None]}, big, "fail"):
        answers = []
        for arn in (theirs, ours):
            answer = aws.lambda_.invoke(
                FunctionName=arn, LogType="Tail", Payload=json.dumps(event).encode()
            )
            document = json.loads(answer["Payload"].read())
            log = base64.b64decode(answer["LogResult"]).decode()
            if event == "fail":
                assert answer["FunctionError"] == "Unhandled"
                assert "[ERROR] LookupError: not there" in log
                document["requestId"] = document["stackTrace"] = None
            else:
                assert document.pop("id") == answer["ResponseMetadata"]["RequestId"]
                assert document.pop("arn") == arn
                assert document.pop("name") == arn.rpartition(":")[2]
            answers.append(document)
        assert answers[0] == answers[1]


def test_any_program_that_speaks_the_runtime_api_is_a_runtime(aws: Aws) -> None:
    source = f"""#!{sys.executable}
import json, os, urllib.request
base = f"http://{{os.environ['AWS_LAMBDA_RUNTIME_API']}}/2018-06-01/runtime"
while True:
    with urllib.request.urlopen(f"{{base}}/invocation/next") as answer:
        event, request_id = answer.read(), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    root = os.listdir(os.environ["LAMBDA_TASK_ROOT"])
    body = json.dumps({{"event": json.loads(event), "root": root}}).encode()
    urllib.request.urlopen(f"{{base}}/invocation/{{request_id}}/response", body).close()
"""
    answer = invoke(aws, custom_runtime(aws, runtime_zip(source, "")), {"a": 1})
    assert (answer["event"], sorted(answer["root"])) == ({"a": 1}, ["app.py", "bootstrap"])
    missing = invoke(aws, custom_runtime(aws, code("")))
    assert missing["errorType"] in {"Runtime.InvalidEntrypoint", "Runtime.ExitError"}


@pytest.mark.parametrize(
    ("event", "error"),
    [("x" * (6 * 1024 * 1024), "RequestTooLargeException"), (None, "")],
    ids=["request", "response"],
)
def test_six_megabytes_are_the_limit_in_both_directions(
    aws: Aws, event: object, error: str
) -> None:
    arn = aws.function("def handler(event, context):\n    return 'x' * (6 * 1024 * 1024 + 200)\n")
    if error:
        with pytest.raises(ClientError, match=error):
            invoke(aws, arn, event)
        with pytest.raises(ClientError, match="RequestTooLargeException"):
            aws.lambda_.invoke(
                FunctionName=arn, InvocationType="Event", Payload=b'"' + b"x" * 1024 * 1024 + b'"'
            )
        return
    assert invoke(aws, arn, event)["errorType"] == "Function.ResponseSizeTooLarge"
    dry = aws.lambda_.invoke(FunctionName=arn, InvocationType="DryRun")
    assert dry["StatusCode"] == 204


def test_a_client_context_reaches_the_handler(aws: Aws) -> None:
    arn = aws.function(
        """
        def handler(event, context):
            return [context.client_context.custom, context.client_context.env]
        """
    )
    context = base64.b64encode(
        json.dumps({"custom": {"a": "1"}, "env": {"b": "2"}, "client": {}}).encode()
    ).decode()
    answer = aws.lambda_.invoke(FunctionName=arn, ClientContext=context)
    assert json.loads(answer["Payload"].read()) == [{"a": "1"}, {"b": "2"}]
    with pytest.raises(ClientError, match="InvalidRequestContentException"):
        aws.lambda_.invoke(FunctionName=arn, ClientContext="not base64!")


def test_reserved_concurrency_throttles_what_is_over_it(aws: Aws) -> None:
    arn = aws.function(SCRATCH, timeout=60)
    aws.lambda_.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as pool, Gate() as gate:
        first = pool.submit(invoke, aws, arn, gate.event)
        gate.wait_for(1)
        with pytest.raises(aws.lambda_.exceptions.TooManyRequestsException) as refused:
            invoke(aws, arn, NOT_HELD)
        gate.open()
        assert first.result()["pid"]
    response: Any = refused.value.response
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_the_accounts_concurrency_throttles_functions_together(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, concurrency=1) as info:
        aws = Aws(info)
        busy, other = aws.function(SCRATCH, timeout=60), aws.function(SCRATCH)
        with ThreadPoolExecutor(1) as pool, Gate() as gate:
            first = pool.submit(invoke, aws, busy, gate.event)
            gate.wait_for(1)
            with pytest.raises(aws.lambda_.exceptions.TooManyRequestsException) as refused:
                invoke(aws, other, NOT_HELD)
            gate.open()
            assert first.result()["pid"]
        response: Any = refused.value.response
        assert response["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert invoke(aws, other, NOT_HELD)["pid"]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A sandbox in which a minute takes 60 ms."""
    with running_sandbox(tmp_path_factory.mktemp("hasty"), time_scale=0.001) as info:
        yield Aws(info)


def messages(aws: Aws, queue: str, count: int) -> list[dict[str, Any]]:
    """Receive messages and delete them, so that none is received twice."""
    found: list[dict[str, Any]] = []

    def received() -> bool:
        answer = aws.sqs.receive_message(
            QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=1
        )
        for message in answer.get("Messages", []):
            aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(dict(message))
        return len(found) >= count

    eventually(received)
    return found


def queue(aws: Aws) -> tuple[str, str]:
    url = aws.sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    return url, aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]


SEND = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}


def test_a_failing_event_is_tried_three_times_and_ends_in_its_dead_letter_queue_and_destination(
    hasty: Aws,
) -> None:
    dead_url, dead_arn = queue(hasty)
    record_url, record_arn = queue(hasty)
    arn = hasty.function(
        """
        def handler(event, context):
            if event == "fail":
                raise ValueError("no luck")
            return {"done": event}
        """,
        statements=[SEND],
    )
    hasty.lambda_.update_function_configuration(
        FunctionName=arn, DeadLetterConfig={"TargetArn": dead_arn}
    )
    assert hasty.lambda_.get_function_configuration(FunctionName=arn)["DeadLetterConfig"] == {
        "TargetArn": dead_arn
    }
    hasty.lambda_.put_function_event_invoke_config(
        FunctionName=arn,
        DestinationConfig={
            "OnSuccess": {"Destination": record_arn},
            "OnFailure": {"Destination": record_arn},
        },
    )
    asked = hasty.lambda_.invoke(FunctionName=arn, InvocationType="Event", Payload=b'"fail"')
    request_id = asked["ResponseMetadata"]["RequestId"]
    (dead,) = messages(hasty, dead_url, 1)
    assert dead["Body"] == '"fail"'
    assert {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()} == {
        "RequestID": request_id,
        "ErrorCode": "200",
        "ErrorMessage": "no luck",
    }
    (sent,) = messages(hasty, record_url, 1)
    record = json.loads(sent["Body"])
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{arn}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert (record["version"], record["requestPayload"]) == ("1.0", "fail")
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorType"] == "ValueError"
    starts = f"START RequestId: {request_id}"
    eventually(
        lambda: sum(line.startswith(starts) for line in log_lines(hasty, arn, "REPORT")) == 3
    )
    hasty.lambda_.invoke(FunctionName=arn, InvocationType="Event", Payload=b'"work"')
    (sent,) = messages(hasty, record_url, 1)
    record = json.loads(sent["Body"])
    assert (record["requestPayload"], record["responsePayload"]) == ("work", {"done": "work"})
    assert record["requestContext"]["condition"] == "Success"


def test_a_throttled_event_is_not_lost_but_waits(hasty: Aws) -> None:
    url, arn = queue(hasty)
    function = hasty.function("def handler(event, context):\n    return event\n", statements=[SEND])
    hasty.lambda_.put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    hasty.lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    hasty.lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=b'"later"')
    hasty.lambda_.delete_function_concurrency(FunctionName=function)
    (sent,) = messages(hasty, url, 1)
    assert json.loads(sent["Body"])["responsePayload"] == "later"


def test_a_role_that_may_not_send_is_refused_as_soon_as_a_queue_is_named(hasty: Aws) -> None:
    _, arn = queue(hasty)
    function = hasty.function("def handler(event, context):\n    pass\n")
    with pytest.raises(
        ClientError,
        match=r"InvalidParameterValueException.*not have permissions to call SendMessage",
    ):
        hasty.lambda_.update_function_configuration(
            FunctionName=function, DeadLetterConfig={"TargetArn": arn}
        )
    with pytest.raises(ClientError, match=r"InvalidParameterValueException.*SendMessage"):
        hasty.lambda_.put_function_event_invoke_config(
            FunctionName=function, DestinationConfig={"OnFailure": {"Destination": arn}}
        )


def test_credentials_are_changed_before_they_are_old(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.00005) as info:  # six hours take a second
        aws = Aws(info)
        arn = aws.function(
            """
            import boto3, os
            def handler(event, context):
                identity = boto3.client("sts").get_caller_identity()
                return [os.environ["AWS_ACCESS_KEY_ID"], identity["Arn"]]
            """
        )
        first, who = invoke(aws, arn)
        eventually(lambda: invoke(aws, arn)[0] != first)
        assert invoke(aws, arn)[1] == who


def test_a_function_has_what_lambdas_runtime_brings_and_its_own_code_to_read(aws: Aws) -> None:
    arn = aws.function(
        """
        import importlib, os, pathlib
        def attempt(action):
            try:
                return str(action())
            except Exception as error:
                return type(error).__name__
        def handler(event, context):
            return {
                **{name: attempt(lambda: importlib.import_module(name).__name__) for name in event},
                "write": attempt(lambda: pathlib.Path(__file__).with_name("new").write_text("x")),
                "private": os.environ["TMPDIR"] == "/tmp",
            }
        """
    )
    seen = invoke(aws, arn, ["boto3", "dateutil", "moto", "pytest", "terralive_relay"])
    private = seen.pop("private")
    assert seen.pop("write") == ("OSError" if private else "1")
    assert seen == {
        "boto3": "boto3",
        "dateutil": "dateutil",
        "moto": "ModuleNotFoundError",
        "pytest": "ModuleNotFoundError",
        "terralive_relay": "ModuleNotFoundError",
    }


def test_an_error_is_one_event_in_the_log_and_json_is_logged_where_it_is_asked_for(
    aws: Aws,
) -> None:
    arn = aws.function("def handler(event, context):\n    raise ValueError('broken')\n")
    aws.lambda_.invoke(FunctionName=arn)
    (line,) = [line for line in log_lines(aws, arn, "REPORT") if "broken" in line]
    assert line.startswith("[ERROR] ValueError: broken\nTraceback (most recent call last):\n")
    aws.lambda_.update_function_configuration(
        FunctionName=arn, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"}
    )
    aws.lambda_.invoke(FunctionName=arn)

    def errors() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log_lines(aws, arn, "REPORT") if line.startswith("{")]

    eventually(lambda: [error["errorMessage"] for error in errors()] == ["broken"])


def test_a_function_is_found_by_any_form_of_its_name_in_this_region_and_account(aws: Aws) -> None:
    arn = aws.function(HANDLER)
    name = arn.rpartition(":")[2]
    for form in (
        name,
        f"{name}:$LATEST",
        f"{aws.info.account_id}:function:{name}",
        arn,
        f"{arn}:$LATEST",
    ):
        assert json.loads(aws.lambda_.invoke(FunctionName=form)["Payload"].read())["name"] == name
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*not reachable in this"):
        aws.lambda_.invoke(FunctionName=arn.replace(aws.info.region, "eu-west-3"))
    with pytest.raises(ClientError, match=r"AccessDeniedException.*no resource-based policy"):
        aws.lambda_.invoke(FunctionName=arn.replace(aws.info.account_id, "999999999999"))


def test_odd_names_in_a_zip_stay_in_the_functions_folder(aws: Aws) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("/outside.py", "../above.py", "./app.py"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(
                entry,
                "import os\ndef handler(event, context):\n    return sorted(os.listdir('.'))\n",
            )
    arn = aws.function(HANDLER)
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=buffer.getvalue())
    assert invoke(aws, arn) == ["above.py", "app.py", "outside.py"]


def test_what_a_killed_sandbox_has_left_goes_with_the_next_one(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "one") as info:
        aws = Aws(info)
        folder = Path(
            invoke(
                aws,
                aws.function("import os\ndef handler(event, context):\n    return os.getcwd()\n"),
            )
        )
        assert folder.parent.exists()
        os.kill(info.pid, signal.SIGKILL)
    assert folder.parent.exists()
    with running_sandbox(tmp_path / "two"):
        assert not folder.parent.exists()


def test_an_answer_in_time_counts_also_where_the_sandbox_was_too_busy_to_see_it(
    tmp_path: Path,
) -> None:
    """The loop is blocked while the answer and then the timeout come, and sees both afterwards."""
    (tmp_path / "app.py").write_text(
        "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return 1\n"
    )
    local = LocalFunction(
        name="busy",
        arn="busy",
        address="busy",
        runtime="python3.12",
        handler="app.handler",
        path=tmp_path,
        python=Path(sys.executable),
    )
    api = RuntimeApi()

    async def answer() -> ExecutionResult:
        place = Place("123456789012", "us-east-1")
        log = FunctionLog(place, "group", "stream", (), lambda _log, _line: None)
        environment = ExecutionEnvironment(api, log, tmp_path / "scratch", own_port=False)
        variables = worker_environment({}, local, environment.address, os.environ, live=False)
        environment.start(launch_of(local).command, tmp_path, variables)
        assert await environment.ready(30) is None
        asyncio.get_running_loop().call_later(0.01, time.sleep, 3)
        invocation = Invocation("id", "busy", "arn", Deadline.after(2, now=time.monotonic()), b"{}")
        result = await environment.run(invocation, 2)
        environment.end()
        await asyncio.to_thread(environment.join, 10)
        return result

    try:
        result = asyncio.run(answer())
    finally:
        api.close()
    assert result.outcome == Outcome(b"1")
