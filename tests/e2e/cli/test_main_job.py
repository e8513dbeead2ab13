"""The main job, through the command line and real HTTP.

Terraform, the provider, sockets, processes and IAM are real.

The tests run in the order of a day's work: live, edited, stopped, started again, restored,
destroyed.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from terralive_sandbox.info import attach
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.command import Command, clean_environment, run
from terralive_testing.drivers.project import Live, Project
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.costs import cost, counted, of_several

pytestmark = pytest.mark.timeout(300)


def invoke(project: Project, function: str, event: object) -> dict[str, Any]:
    answer = project.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    return {"error": answer.get("FunctionError"), "payload": json.loads(answer["Payload"].read())}


@pytest.fixture
def original_handlers(project: Project, live: Live) -> Iterator[None]:
    """Put the example's handlers back, as `git checkout` would."""
    before = {name: project.read_handler(name) for name in ("api", "sns")}
    yield
    for name, source in before.items():
        if project.read_handler(name) != source:
            live.edit(name, source)


def test_a_get_runs_the_local_api_handler_whose_message_runs_the_local_sns_handler(
    live: Live,
) -> None:
    answer = live.get()

    assert (answer.status_code, answer.text) == (200, "Hello World")
    assert answer.headers["content-type"].startswith("text/plain")
    api = live.eventually("invocation", function=live.name_of("api"), trigger="http")
    ended = live.eventually("result", request_id=api["request_id"])
    assert (ended["ok"], ended["status"]) == (True, 200)
    delivered = live.eventually("delivered", request_id=api["request_id"])
    assert delivered["round_trip_ms"] >= ended["handler_ms"]
    sns = live.eventually("invocation", function=live.name_of("sns"), trigger="sns")
    result = live.eventually("result", request_id=sns["request_id"])
    assert (result["ok"], result["error_type"]) == (True, "")


def test_a_warm_invocation_costs_four_messages_four_broker_runs_and_no_table_access(
    project: Project, live: Live
) -> None:
    info = attach(project.root / ".terralive" / "sandbox.json")
    assert info is not None
    apis: dict[str, str] = {}
    for api in project.client("apigatewayv2").get_apis()["Items"]:
        if api["ProtocolType"] == "WEBSOCKET":
            stack, _, name = api["Name"].rpartition("-")
            apis[name] = api["ApiId"]
    event = {"Records": [{"Sns": {"Message": "x" * 1000}}]}

    def invoke_once() -> None:
        assert invoke(project, live.name_of("sns"), event) == {"error": None, "payload": None}

    with counted(Aws(info), apis, f"{stack}-broker") as so_far:
        for _ in range(5):
            # Every environment of the broker learns the connections and the lease.
            invoke_once()
        found = of_several(cost(so_far, invoke_once) for _ in range(5))

    incoming, outgoing = (found[f"stub {way}"] + found[f"relay {way}"] for way in ("in", "out"))
    assert (incoming, outgoing, found["runs"], found["reads"], found["writes"]) == (4, 4, 4, 0, 0)


@pytest.mark.usefixtures("original_handlers")
def test_an_edit_is_live_at_the_next_request_and_nothing_is_deployed(
    project: Project, live: Live
) -> None:
    function = live.name_of("api")
    deployed = project.client("lambda").get_function_configuration(FunctionName=function)
    stacks = len(live.command.of_type("stack"))

    live.edit("api", live.project.read_handler("api").replace("Hello World", "Hello again"))

    assert live.get().text == "Hello again"
    after = project.client("lambda").get_function_configuration(FunctionName=function)
    assert (after["LastModified"], after["CodeSha256"]) == (
        deployed["LastModified"],
        deployed["CodeSha256"],
    )
    assert len(live.command.of_type("stack")) == stacks


@pytest.mark.usefixtures("original_handlers")
def test_the_handler_has_its_functions_environment_and_role_and_nothing_more(
    project: Project, live: Live
) -> None:
    live.edit(
        "api",
        """
        import json, os
        import boto3
        from botocore.exceptions import ClientError

        def handler(event, context):
            try:
                boto3.client("dynamodb").list_tables()
                denied = "no"
            except ClientError as error:
                denied = error.response["Error"]["Code"] + " " + error.response["Error"]["Message"]
            return {"statusCode": 200, "body": json.dumps({
                "topic": os.environ["TOPIC_ARN"],
                "function": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
                "arn": boto3.client("sts").get_caller_identity()["Arn"],
                "denied": denied,
                "live": os.environ["TERRALIVE"],
                "profile": os.environ.get("AWS_PROFILE"),
            })}
        """,
    )

    seen = live.get().json()

    name = live.name_of("api")
    configuration = project.client("lambda").get_function_configuration(FunctionName=name)
    assert seen["topic"] == configuration["Environment"]["Variables"]["TOPIC_ARN"]
    assert seen["function"] == name
    role = configuration["Role"].rsplit("/", 1)[-1]
    assert f"assumed-role/{role}/{name}" in seen["arn"]
    assert seen["denied"].startswith("AccessDenied")
    assert role in seen["denied"]
    assert (seen["live"], seen["profile"]) == ("1", None)


@pytest.mark.usefixtures("original_handlers")
def test_print_and_logging_appear_as_log_events_of_their_invocation(live: Live) -> None:
    live.edit(
        "api",
        """
        import logging

        logging.getLogger().setLevel(logging.INFO)

        def handler(event, context):
            print("printed", event["rawPath"])
            logging.info("logged by %s", context.function_name)
            return {"statusCode": 200, "headers": {"x-request-id": context.aws_request_id}}
        """,
    )

    request_id = live.get().headers["x-request-id"]

    live.eventually("result", request_id=request_id)
    lines = live.log_lines(request_id)
    assert "printed /" in lines
    assert any(f"logged by {live.name_of('api')}" in line and "[INFO]" in line for line in lines)


@pytest.mark.usefixtures("original_handlers")
def test_an_exception_is_the_same_error_at_the_real_caller_with_the_local_stack(
    project: Project, live: Live
) -> None:
    live.edit(
        "api",
        """
        class OutOfStock(Exception):
            pass

        def reserve(item):
            try:
                return {}[item]
            except KeyError as error:
                raise OutOfStock(f"no {item} left") from error

        def handler(event, context):
            reserve(event["item"])
        """,
    )

    answer = invoke(project, live.name_of("api"), {"item": "tea"})

    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "OutOfStock"
    assert answer["payload"]["errorMessage"] == "no tea left"
    assert any("in reserve" in line for line in answer["payload"]["stackTrace"])
    result = live.eventually("result", error_type="OutOfStock")
    assert result["ok"] is False
    (cause,) = result["causes"]
    assert (cause["relation"], cause["error_type"]) == ("cause", "KeyError")
    assert "bootstrap" not in "".join(cause["stack"])
    stack = "".join(answer["payload"]["stackTrace"])
    assert str(project.root) in stack
    assert "bootstrap" not in stack
    assert live.get().status_code == 500


@pytest.mark.usefixtures("original_handlers")
def test_the_context_is_the_real_one(project: Project, live: Live) -> None:
    live.edit(
        "api",
        """
        def handler(event, context):
            return {
                "request_id": context.aws_request_id,
                "name": context.function_name,
                "version": context.function_version,
                "arn": context.invoked_function_arn,
                "memory": context.memory_limit_in_mb,
                "remaining": context.get_remaining_time_in_millis(),
                "log_group": context.log_group_name,
            }
        """,
    )
    name = live.name_of("api")
    configuration = project.client("lambda").get_function_configuration(FunctionName=name)

    answer = project.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    context = json.loads(answer["Payload"].read())

    assert context["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert context["name"] == name
    assert context["version"] == "$LATEST"
    assert context["arn"] == configuration["FunctionArn"]
    assert int(context["memory"]) == configuration["MemorySize"]
    assert 0 < context["remaining"] <= configuration["Timeout"] * 1000
    assert context["log_group"] == f"/aws/lambda/{name}"


@pytest.mark.usefixtures("original_handlers")
def test_a_handler_that_does_not_import_is_the_callers_error_and_the_next_save_heals_it(
    project: Project, live: Live
) -> None:
    live.edit("api", "import no_such_module\n")

    answer = invoke(project, live.name_of("api"), {})

    assert answer["payload"]["errorType"] == "Runtime.ImportModuleError"
    assert "no_such_module" in answer["payload"]["errorMessage"]
    live.edit("api", "def handler(event, context):\n    return 'healed'\n")
    assert invoke(project, live.name_of("api"), {})["payload"] == "healed"


@pytest.mark.usefixtures("original_handlers")
def test_megabytes_go_both_ways(project: Project, live: Live) -> None:
    live.edit("api", "def handler(event, context):\n    return event['text'][::-1]\n")
    text = "".join(chr(97 + index % 26) for index in range(3_000_000))

    answer = invoke(project, live.name_of("api"), {"text": text})

    assert answer["error"] is None
    assert answer["payload"] == text[::-1]


def test_a_second_relay_is_refused_by_the_name_of_the_first(project: Project, live: Live) -> None:
    assert live.command.process.poll() is None
    refused = run(
        [
            "--project",
            str(project.root),
            "--stage",
            live.ready["stage"],
            "start",
            "--sandbox",
            "--yes",
        ],
        project.root,
        {"TERRALIVE_USER": "ben"},
    )

    assert refused.process.returncode == 5, refused.story()
    assert refused.of_type("error")[0]["reference"] == "stage-held"
    said = refused.of_type("error")[0]["message"]
    assert said.startswith(f"Stage 'dev-ana' is live for ana on {socket.gethostname()} since 2"), (
        said
    )
    assert live.get().status_code == 200


def test_invoke_runs_here_and_standard_output_has_the_result_alone(
    project: Project, live: Live
) -> None:
    assert live.command.process.poll() is None

    ended = subprocess.run(
        [sys.executable, "-m", "terralive_cli", *("invoke", "api", "--event", "@http")],
        cwd=project.root,
        env=clean_environment({"TERRALIVE_SANDBOX": "1"}),
        capture_output=True,
        check=False,
    )

    said = ended.stderr.decode()
    assert ended.returncode == 0, said
    assert json.loads(ended.stdout)["body"] == "Hello World"
    assert "published: Hello World" in said
    assert "on this machine, in the session that runs" in said


def test_the_last_event_runs_again_without_lambda(project: Project, live: Live) -> None:
    last = f"{live.name_of('sns')}/*.json"
    eventually(
        lambda: [*(project.root / ".terralive").glob(f"sandbox/*/dev-ana/events/{last}")],
        "the event of an earlier message",
    )

    command = run(["invoke", "sns", "--event", "@last", "--local", "--sandbox"], project.root)

    assert command.process.returncode == 0, command.story()
    (answer,) = command.of_type("answer")
    assert (answer["ok"], answer["runner"]) == (True, "local")
    assert [event["reference"] for event in command.of_type("warning")] == ["role-not-assumed"]


def test_invoke_does_not_run_on_the_machine_of_another_user_unasked(
    project: Project, live: Live
) -> None:
    refused = run(
        ["--stage", live.ready["stage"], "invoke", "api", "--sandbox"],
        project.root,
        {"TERRALIVE_USER": "ben"},
    )

    assert refused.process.returncode == 5, refused.story()
    (error,) = refused.of_type("error")
    assert error["reference"] == "stage-held"
    assert "for ana on" in error["message"]
    assert "--held" in error["hint"]


@pytest.fixture(scope="module")
def stopped(project: Project, live: Live) -> Live:
    """After Ctrl-C, with an invocation under way."""
    before = project.read_handler("api")
    live.edit("api", "import time\n\ndef handler(event, context):\n    time.sleep(60)\n")
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(invoke, project, live.name_of("api"), {})
        live.command.wait_for(
            lambda event: (
                event["type"] == "invocation" and event["function"] == live.name_of("api")
            ),
            "invocation",
        )
        children = descendants(live.command.process.pid)
        live.command.interrupt()
        code = live.command.finish(30)
        live.ready["interrupted"] = answer.result(60)
    project.write_handler("api", before)
    assert code == 130, live.command.story()
    live.ready["children"] = children
    return live


def test_ctrl_c_ends_the_relay_and_all_its_workers_and_says_how_to_restore(stopped: Live) -> None:
    assert stopped.ready["children"], "there were workers"
    eventually(lambda: not running(stopped.ready["children"]), "every worker has ended")
    said = stopped.command.of_type("stopped")
    assert len(said) == 1
    assert "restore" in json.dumps(said[0])


def test_an_invocation_that_ctrl_c_cuts_off_ends_by_name_and_not_by_a_timeout(
    stopped: Live,
) -> None:
    answer = stopped.ready["interrupted"]

    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "Terralive.Stopped"


def test_with_nobody_connected_the_api_answers_503_at_once_and_says_what_to_do(
    stopped: Live,
) -> None:
    timeout_s = stopped.project.client("lambda").get_function_configuration(
        FunctionName=stopped.name_of("api")
    )["Timeout"]

    answer = httpx.get(stopped.url, timeout=timeout_s / 2)

    assert answer.status_code == 503
    # A page of another origin may read the text, too.
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "terralive start" in answer.text
    assert "ana" in answer.text


def test_with_nobody_connected_an_sns_triggered_function_fails_rather_than_succeeds(
    project: Project, stopped: Live
) -> None:
    event = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "hello"}}]}

    answer = invoke(project, stopped.name_of("sns"), event)

    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "Terralive.NoRelay"
    assert "terralive start" in answer["payload"]["errorMessage"]


def test_with_nobody_connected_invoke_fails_and_says_what_to_do(
    project: Project, stopped: Live
) -> None:
    command = run(["invoke", stopped.name_of("sns"), "--sandbox"], project.root)

    assert command.process.returncode == 1, command.story()
    (answer,) = command.of_type("answer")
    assert (answer["error_type"], answer["runner"]) == ("Terralive.NoRelay", "nobody")
    assert "--local" in answer["hint"]


def test_a_second_start_with_nothing_changed_applies_nothing(
    project: Project, stopped: Live
) -> None:
    with Command(
        ["--project", str(project.root), "start", "--sandbox", "--yes"], project.root
    ) as command:
        command.wait_for_type("ready", timeout_s=120)
        assert httpx.get(stopped.url, timeout=30).text == "Hello World"
    assert {event["action"] for event in command.of_type("stack")} & {
        "apply",
        "create",
        "update",
        "delete",
        "upload",
    } == set()
    first = {event["action"] for event in stopped.command.of_type("stack")}
    assert "upload" in first, "functions of a CDKTF program get the stub from S3"


@pytest.fixture(scope="module")
def restored(project: Project, stopped: Live) -> Live:
    command = run(["--project", str(project.root), "restore", "--sandbox", "--yes"], project.root)
    assert command.process.returncode == 0, command.story()
    changed = {
        (event["action"], event["address"])
        for event in command.of_type("stack")
        if event.get("address")
    }
    assert changed == {
        ("update", "aws_lambda_function.api"),
        ("update", "aws_lambda_function.sns"),
    }
    return stopped


def test_restore_brings_the_deployed_code_back(project: Project, restored: Live) -> None:
    project.write_handler("api", project.read_handler("api").replace("Hello World", "local only"))

    answer = httpx.get(restored.url, timeout=30)

    assert (answer.status_code, answer.text) == (200, "Hello World")


def test_destroy_leaves_nothing(project: Project, restored: Live) -> None:
    command = run(
        ["--project", str(project.root), "destroy", "--app", "--sandbox", "--yes"], project.root
    )

    assert command.process.returncode == 0, command.story()
    assert project.client("lambda").list_functions()["Functions"] == []
    assert project.client("apigatewayv2").get_apis()["Items"] == []
    assert project.client("dynamodb").list_tables()["TableNames"] == []
    assert project.client("sns").list_topics()["Topics"] == []
    assert project.client("iam").list_roles()["Roles"] == []
    assert project.client("s3").list_buckets()["Buckets"] == []
    assert project.client("logs").describe_log_groups()["logGroups"] == []
    assert httpx.get(restored.url, timeout=30).status_code in {403, 404}


def test_a_second_destroy_has_nothing_to_remove_and_says_so(
    project: Project, restored: Live
) -> None:
    assert restored.command.process.poll() is not None
    command = run(
        ["--project", str(project.root), "destroy", "--app", "--sandbox", "--yes"], project.root
    )

    assert command.process.returncode == 0, command.story()
    assert "Nothing to remove" in command.of_type("note")[-1]["message"]
