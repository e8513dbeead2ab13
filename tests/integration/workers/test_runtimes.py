"""Workers of every runtime in one pool: Node.js, custom runtimes, and other programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_relay.describe.causes import describe_causes
from terralive_relay.events import LogLine, Warned
from terralive_relay.pool import records
from terralive_relay.pool.pool import Pool
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.invocation import Outcome
from terralive_testing.drivers.workers import Recorder, document, invocation, local_function
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

NODE = Path(shutil.which("node") or "node")
needs_node = pytest.mark.skipif(not NODE.is_absolute(), reason="there is no node on PATH")
needs_curl = pytest.mark.skipif(
    not shutil.which("curl"), reason="there is no curl, by which a bash runtime asks"
)

# As AWS's own tutorial has it:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-walkthrough.html
BASH = """
    #!/bin/sh
    API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
    while true; do
      headers=$(mktemp)
      event=$(curl -sS -L -D "$headers" "$API/next") || exit 1
      id=$(grep -i '^lambda-runtime-aws-request-id' "$headers" | tr -d '[:space:]' | cut -d: -f2)
      rm -f "$headers"
      echo "running $_HANDLER in $(pwd)"
      answer="{\\"echo\\": $event, \\"env\\": \\"$AWS_EXECUTION_ENV\\"}"
      curl -sS -X POST "$API/$id/response" -d "$answer" > /dev/null
    done
    """


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


@pytest.fixture
def run(sink: Recorder) -> Iterator[Callable[..., Outcome]]:
    """Run one invocation of a function."""
    api = RuntimeApi()
    pools: dict[LocalFunction, Pool] = {}

    def submit(function: LocalFunction, event: object = None, *, seconds: float = 30) -> Outcome:
        if function not in pools:
            pools[function] = Pool(function, api, sink)
        return pools[function].submit(invocation(event, seconds=seconds)).result(60).outcome

    yield submit
    for pool in pools.values():
        pool.close()
    api.close()


Run = Callable[..., Outcome]


def node_function(folder: Path, code: str) -> LocalFunction:
    (folder / "index.js").write_text(dedent(code))
    function = local_function(folder, handler="index.handler")
    return replace(function, runtime="nodejs20.x", node=NODE)


def test_the_causes_of_a_python_error_are_told_and_its_document_stays(
    tmp_path: Path, run: Run
) -> None:
    code = """
        def handler(event, context):
            try:
                try:
                    {}["id"]
                except KeyError:
                    int("x")
            except ValueError as error:
                raise RuntimeError("no order") from error
        """
    outcome = run(local_function(tmp_path, code))

    assert set(document(outcome)) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    causes = describe_causes(outcome)
    assert [(cause.relation, cause.error_type) for cause in causes] == [
        ("cause", "ValueError"),
        ("context", "KeyError"),
    ]
    assert 'line 7, in handler\n    int("x")' in causes[0].stack[0]


@needs_node
def test_the_causes_of_a_node_error_are_told_and_its_document_stays(
    tmp_path: Path, run: Run
) -> None:
    function = node_function(
        tmp_path,
        """
        exports.handler = async () => {
          const group = new AggregateError([new TypeError("no id")], "two failed");
          throw new Error("no order", { cause: group });
        };
        """,
    )
    outcome = run(function)

    assert set(document(outcome)) == {"errorMessage", "errorType", "trace"}
    causes = describe_causes(outcome)
    assert [(cause.relation, cause.error_type, cause.error_message) for cause in causes] == [
        ("cause", "AggregateError", "two failed"),
        ("part", "TypeError", "no id"),
    ]
    assert any("index.js:3" in line for line in causes[0].stack)


def program(path: Path, code: str) -> Path:
    path.write_text(dedent(code).lstrip())
    path.chmod(0o755)
    return path


@needs_node
@pytest.mark.parametrize("end", ["return 1", "process.exit(0)"])
def test_all_that_a_node_handler_writes_comes_before_its_end(
    run: Run, sink: Recorder, tmp_path: Path, end: str
) -> None:
    """Node.js writes to a pipe in the background: 64 KB were in it, and the rest came too late."""
    code = f"""
        exports.handler = async (event) => {{
          process.stdout.write('o'.repeat(200_000) + 'END\\n')
          process.stderr.write('e'.repeat(200_000) + 'END\\n')
          for (let number = 0; number < 2_000; number++) console.log('line', number, event)
          {end}
        }}
        """
    run(node_function(tmp_path, code), "x" * 100)
    logs = sink.of_type(LogLine)
    (request_id,) = {log.request_id for log in logs if log.request_id}
    own = sink.lines(request_id)
    assert "o" * 200_000 + "END" in own
    assert "e" * 200_000 + "END" in own
    assert sum("line" in line for line in own) == 2_000
    late = [warning for warning in sink.of_type(Warned) if "after-answer" in warning.reference]
    assert late == []


@needs_node
def test_an_option_that_the_local_node_does_not_know_is_named_and_ends_no_worker(
    run: Run, sink: Recorder, tmp_path: Path
) -> None:
    given = "--no-such-option=3 --enable-source-maps --nor-such"
    function = node_function(tmp_path, "exports.handler = async () => process.env.NODE_OPTIONS")
    function = replace(function, variables=(("NODE_OPTIONS", given),))
    assert json.loads(run(function).body) == "--enable-source-maps"
    unknown = [item for item in sink.of_type(Warned) if item.reference == "node-option-unknown"]
    assert len(unknown) == 2
    assert "--no-such-option=3" in unknown[0].message
    assert "--nor-such" in unknown[1].message


@needs_node
@pytest.mark.parametrize(
    "option",
    [
        "--require /opt/not-here/wrap.js",
        '-r "/opt/not here/wrap.js"',
        "--import=file:///opt/not-here/wrap.mjs",
    ],
)
def test_an_option_that_loads_a_file_of_a_layer_is_named_and_ends_no_worker(
    run: Run, sink: Recorder, tmp_path: Path, option: str
) -> None:
    """As `--require` of a vendor's layer. The project itself takes the variable over."""
    code = "exports.handler = async () => [process.env.NODE_OPTIONS, globalThis.preloaded]"
    (tmp_path / "own.js").write_text("globalThis.preloaded = true")
    given = f"{option} --require ./own.js"
    function = node_function(tmp_path, code)
    function = replace(function, variables=(("NODE_OPTIONS", given),))
    assert json.loads(run(function).body) == ["--require ./own.js", True]
    (warning,) = sink.of_type(Warned)
    assert warning.reference == "node-option-of-layer"
    assert option in warning.message


@needs_node
def test_a_node_function_runs_as_the_deployed_one(
    run: Run, sink: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine, too, one worker runs both invocations.
    monkeypatch.setattr(records, "ANSWERED_SECONDS", 60.0)
    code = """
        console.log('cold')
        exports.handler = async (event, context) => {
          console.log('warm')
          const { AWS_EXECUTION_ENV, LAMBDA_TASK_ROOT, _HANDLER, TERRALIVE } = process.env
          return [
            event, context.functionName, AWS_EXECUTION_ENV, LAMBDA_TASK_ROOT, _HANDLER, TERRALIVE,
            process.cwd(),
          ]
        }
        """
    function = node_function(tmp_path, code)
    for event in ("first", "second"):
        got = json.loads(run(function, event).body)
        assert got == [
            event,
            "orders",
            "AWS_Lambda_nodejs20.x",
            str(tmp_path),
            "index.handler",
            "1",
            str(tmp_path),
        ]
    levels = [line.split("\t")[2:] for line in sink.lines()]
    assert levels == [["INFO", "cold"], ["INFO", "warm"], ["INFO", "warm"]]


@needs_node
def test_a_node_process_that_ends_in_an_invocation_is_lambdas_own_error(
    run: Run, tmp_path: Path
) -> None:
    code = "exports.handler = async (event) => { if (event) process.exit(event); return 'fresh' }"
    function = node_function(tmp_path, code)
    got = run(function, 3)
    assert got.error_type == "Runtime.ExitError"
    assert "exit status 3" in str(document(got)["errorMessage"])
    assert run(function, 0).body == b'"fresh"'


@needs_node
def test_a_node_handlers_unhandled_rejection_is_reported_with_its_reason(
    run: Run, tmp_path: Path
) -> None:
    code = """
        exports.handler = async () => {
          Promise.reject(new Error('lost'))
          await new Promise(() => {})
        }
        """
    got = document(run(node_function(tmp_path, code)))
    assert (got["errorType"], got["errorMessage"]) == (
        "Runtime.UnhandledPromiseRejection",
        "Error: lost",
    )


@needs_node
def test_a_node_handler_that_never_returns_ends_at_its_deadline(run: Run, tmp_path: Path) -> None:
    for code in (
        "exports.handler = async () => { while (true); }",
        "exports.handler = () => { setInterval(Date, 9) }",
    ):
        got = run(node_function(tmp_path, code), seconds=1)
        assert got.error_type == "Sandbox.Timedout"


@needs_node
def test_a_node_module_that_cannot_be_loaded_is_the_invocations_error(
    run: Run, tmp_path: Path
) -> None:
    got = document(run(node_function(tmp_path, "\nexports.handler = async () => {")))
    assert got["errorType"] == "Runtime.UserCodeSyntaxError"
    assert f"{tmp_path}/index.js:2" in str(got["trace"])


@needs_curl
def test_a_custom_runtime_is_started_from_the_functions_folder(
    run: Run, sink: Recorder, tmp_path: Path
) -> None:
    program(tmp_path / "bootstrap", BASH)
    function = replace(local_function(tmp_path, handler="any.name"), runtime="provided.al2023")
    for event in ({"a": 1}, "second"):
        got = json.loads(run(function, event).body)
        assert got == {"echo": event, "env": "AWS_Lambda_provided.al2023"}
    assert sink.lines() == [f"running any.name in {tmp_path}"] * 2


def test_a_custom_runtime_that_does_not_exist_is_lambdas_own_error_with_the_reason(
    run: Run, sink: Recorder, tmp_path: Path
) -> None:
    function = replace(local_function(tmp_path), runtime="provided.al2023")
    assert run(function).error_type == "Runtime.ExitError"
    assert any("bootstrap" in line for line in sink.lines())


def test_a_command_that_speaks_the_runtime_api_runs_any_runtime(run: Run, tmp_path: Path) -> None:
    client = """
        import http.client, os, sys
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            asked = api.getresponse()
            answer = b'{"by": "' + sys.argv[1].encode() + b'", "event": ' + asked.read() + b"}"
            request_id = asked.headers["Lambda-Runtime-Aws-Request-Id"]
            api.request("POST", f"{base}{request_id}/response", answer)
            api.getresponse().read()
        """
    (tmp_path / "client.py").write_text(dedent(client))
    command = (sys.executable, "client.py", "java's client")
    function = replace(local_function(tmp_path), runtime="java21", command=command)
    assert json.loads(run(function, 1).body) == {"by": "java's client", "event": 1}


def test_a_runtime_that_terralive_cannot_run_is_a_configuration_error(tmp_path: Path) -> None:
    api = RuntimeApi()
    try:
        with pytest.raises(ConfigurationError, match="java21") as refused:
            Pool(replace(local_function(tmp_path), runtime="java21"), api, Recorder())
        assert "command" in str(refused.value.hint)
    finally:
        api.close()
