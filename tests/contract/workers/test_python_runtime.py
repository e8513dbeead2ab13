"""terralive's Python bootstrap does the same as awslambdaric, AWS's own client.

Both run the same handlers. The tests compare what they send to the Runtime API and to the log.

They run on the Python of these tests, or on the Python that `TERRALIVE_CONTRACT_PYTHON` names, in
which awslambdaric must be installed:

    for python in /venvs/3.*/bin/python; do
        TERRALIVE_CONTRACT_PYTHON=$python pytest tests/contract/workers/test_python_runtime.py
    done
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_stub.protocol.invocation import Invocation
from terralive_testing.drivers.workers import Transcript, invocation, transcript
from terralive_workers.launch import PYTHON_BOOTSTRAP
from terralive_workers.runtime_api.server import RuntimeApi

PYTHON = os.environ.get("TERRALIVE_CONTRACT_PYTHON") or sys.executable
if sys.executable == PYTHON:
    pytest.importorskip("runtime_client", reason="awslambdaric's native client is not built here")

ENVIRONMENT = {
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]abc",
    "GREETING": "hello",
}

# The time limit where a handler looks at it. It begins before both runtimes start.
LIMIT_SECONDS = 600.0

HANDLERS = {
    "echo": "def handler(event, context): return event",
    "nothing": "def handler(event, context): pass",
    "decimals": """
        from decimal import Decimal
        def handler(event, context):
            odd = [Decimal("1E+3"), Decimal("NaN"), Decimal("-0"), Decimal("Infinity")]
            return {"a": Decimal("1.10"), "b": odd}
        """,
    "named tuples": """
        from collections import namedtuple
        P = namedtuple("P", "x y")
        Q = namedtuple("Q", "z")
        def handler(event, context): return [P(1, Q((1, 2)))]
        """,
    "bytes inside": "def handler(event, context): return {'a': b'text', b'key': [b'\\xc3\\xa4']}",
    "bytes that are no text": "def handler(event, context): return {'a': b'\\xff'}",
    "bytes as a whole": "def handler(event, context): return b'\\x00raw'",
    "unicode": "def handler(event, context): return 'ä€😀\\u2028\\u2029\\x7f\\x00\\ud800'",
    "unicode without surrogates": """
        def handler(event, context): return 'ä€😀\\u2028\\u2029\\x7f\\x00<>&/'
        """,
    "floats": """
        def handler(event, context): return [float('nan'), float('inf'), 1e300, 0.1, -0.0, 10**40]
        """,
    "odd keys": "def handler(event, context): return {1: 1, 1.5: 2, True: 3, None: 4}",
    "impossible keys": "def handler(event, context): return {(1, 2): 3}",
    "a set": "def handler(event, context): return {1}",
    "a date": "import datetime\ndef handler(event, context): return datetime.date(2026, 1, 1)",
    "a moment": """
        import datetime
        def handler(event, context): return {'at': datetime.datetime(2026, 1, 1)}
        """,
    "an object": "def handler(event, context): return {'o': object}",
    "a generator": "def handler(event, context): yield 1",
    "a coroutine": "async def handler(event, context): return 1",
    "decimal keys": """
        from decimal import Decimal
        def handler(event, context): return {Decimal(1): 1}
        """,
    "a data class": """
        import dataclasses
        @dataclasses.dataclass
        class Order:
            number: int
        def handler(event, context): return Order(1)
        """,
    "huge numbers": """
        def handler(event, context): return [10 ** 4000, 2 ** 64, 1e-320, 123456789.123456789]
        """,
    "a deep nest": """
        def handler(event, context):
            nest = []
            for _ in range(100_000):
                nest = [nest]
            return nest
        """,
    "a circle": "def handler(event, context):\n    a = []\n    a.append(a)\n    return a",
    "enums": """
        import enum
        class Colour(str, enum.Enum):
            RED = "red"
        class Size(enum.IntEnum):
            BIG = 3
        def handler(event, context): return [Colour.RED, Size.BIG]
        """,
    "raises": """
        def handler(event, context):
            return deeper(event)
        def deeper(event):
            raise ValueError("no such order: ä\\nsecond line")
        """,
    "raises without words": "def handler(event, context): raise KeyError",
    "raises from another": """
        class OrderError(Exception): pass
        def handler(event, context):
            try:
                {}["x"]
            except KeyError as error:
                raise OrderError("chained") from error
        """,
    "raises its own kind": """
        class OrderError(Exception):
            def __init__(self, number):
                super().__init__(number, "lost")
                self.number = number
        class Silent(OrderError):
            def __str__(self):
                return ""
        def handler(event, context):
            raise (Silent if event == "second" else OrderError)(7)
        """,
    "raises while it handles": """
        def handler(event, context):
            try:
                1 / 0
            except ZeroDivisionError:
                raise LookupError("implicitly chained")
        """,
    "raises from nothing": "def handler(event, context):\n    raise ValueError('cut') from None",
    "raises with a note": """
        def handler(event, context):
            error = ValueError("noted")
            if hasattr(error, "add_note"):
                error.add_note("by the way")
            raise error
        """,
    "raises bytes": "def handler(event, context): raise ValueError(b'\\xff', 'ä')",
    "raises in a class": """
        class Api:
            def get(self, key):
                return (lambda: {}[key])()
        def handler(event, context): return [Api().get(k) for k in ["x"]]
        """,
    "raises a system's error": "def handler(event, context): open('/no/such/file')",
    "asserts": "def handler(event, context): assert event == 1, {'why': event}",
    "stops a generator": "def handler(event, context): raise StopIteration(3)",
    "interrupts": "def handler(event, context): raise KeyboardInterrupt",
    "handler is an object": """
        class Api:
            def __call__(self, event, context): return type(self).__name__
        handler = Api()
        """,
    "handler takes more": """
        def handler(event, context, more=5, *rest, **named): return [more, rest, named]
        """,
    "a temporary file": """
        import os, tempfile
        def handler(event, context):
            with tempfile.NamedTemporaryFile() as file:
                return [os.path.dirname(file.name), file.write(b"x")]
        """,
    "recursion": "def handler(event, context): return handler(event, context)",
    "sys.exit": "import sys\ndef handler(event, context): sys.exit(3)",
    "sys.exit 0": "import sys\ndef handler(event, context): sys.exit()",
    "os._exit": "import os\ndef handler(event, context): os._exit(7)",
    "module raises": "1 / 0\ndef handler(event, context): pass",
    "module raises deeper": "import helper\ndef handler(event, context): pass",
    "module exits": "import sys\nsys.exit(4)",
    "module imports what is not there": "import nosuchthing\ndef handler(event, context): pass",
    "module has a syntax error": "def handler(event, context:\n    pass",
    "handler is missing": "def another(event, context): pass",
    "an event loop in each invocation": """
        import asyncio
        lock = asyncio.Lock()
        async def answer(event):
            asyncio.ensure_future(asyncio.sleep(60))
            async with lock:
                await asyncio.sleep(0.01)
            return event
        def handler(event, context):
            return asyncio.run(answer(event))
        """,
    "an event loop of the module": """
        import asyncio
        loop = asyncio.new_event_loop()
        async def answer(event):
            await asyncio.sleep(0.01)
            return event
        def handler(event, context):
            return loop.run_until_complete(answer(event))
        """,
    "what only the main thread may do": """
        import signal
        def handler(event, context):
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        """,
    # https://aws.amazon.com/blogs/compute/parallel-processing-in-python-with-aws-lambda/
    "processes and pipes": """
        import multiprocessing
        def work(pipe, number):
            pipe.send(number * 2)
            pipe.close()
        def handler(event, context):
            answers = []
            for number in range(3):
                ours, theirs = multiprocessing.Pipe()
                process = multiprocessing.Process(target=work, args=(theirs, number))
                process.start()
                answers.append(ours.recv())
                process.join()
                answers.append(process.exitcode)
            return answers
        """,
    "a program": """
        import subprocess, sys
        def handler(event, context):
            program = [sys.executable, "-c", "import sys; print('out'); sys.exit(3)"]
            ended = subprocess.run(program, capture_output=True, text=True)
            return [ended.stdout, ended.returncode]
        """,
    "a child that exits": """
        import os, sys
        def handler(event, context):
            child = os.fork()
            if child == 0:
                os._exit(3)
            return os.waitpid(child, 0)[1]
        """,
    "context": """
        def handler(event, context):
            public = [n for n in dir(context) if not n.startswith("_")]
            names = [n for n in public if not callable(getattr(context, n))]
            remaining = context.get_remaining_time_in_millis()
            client = context.client_context
            identity = context.identity
            plain = [n for n in names if n not in ("identity", "client_context")]
            return {
                **{n: getattr(context, n) for n in plain},
                "names": sorted(names),
                "remaining": 480_000 < remaining <= 600_000 and type(remaining).__name__,
                "identity": [identity.cognito_identity_id, identity.cognito_identity_pool_id],
                "client": client and [client.custom, client.env],
                "app": client and client.client and client.client.app_title,
            }
        """,
    "trace id": "import os\ndef handler(event, context): return os.environ.get('_X_AMZN_TRACE_ID')",
    "environment": """
        import os, sys
        def handler(event, context):
            root = os.environ.get("LAMBDA_TASK_ROOT")
            greeting = os.environ["GREETING"]
            return [greeting, os.getcwd(), sys.path[0], __name__, sys.argv[1:], __file__, root]
        """,
    "logs": """
        import logging, sys
        print("importing")
        logging.warning("while importing %s", "this")
        logging.getLogger("mine").error("from mine")
        def handler(event, context):
            logging.getLogger().setLevel(logging.INFO)
            logging.info("info %d", 1)
            logging.debug("debug")
            print("printed", end="")
            print()
            sys.stdout.writelines(["a\\n", "b\\n"])
            context.log("by context\\n")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("caught")
        """,
}


@pytest.fixture(scope="module")
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


def both(
    api: RuntimeApi,
    folder: Path,
    code: str,
    invocations: list[Invocation],
    *,
    handler: str = "app.handler",
    environment: dict[str, str] | None = None,
) -> tuple[Transcript, Transcript]:
    """Return the transcripts of terralive's bootstrap and of awslambdaric."""
    (folder / "app.py").write_text(dedent(code))
    (folder / "helper.py").write_text("def f():\n    raise RuntimeError('deep')\nf()\n")
    for package in (folder / "pkg", folder / "pkg" / "deep"):
        package.mkdir(exist_ok=True)
        (package / "orders.py").write_text("def handler(event, context): return __name__\n")
    variables = ENVIRONMENT | (environment or {})
    ours = transcript(api, [PYTHON, str(PYTHON_BOOTSTRAP), handler], folder, invocations, variables)
    theirs = transcript(
        api, [PYTHON, "-m", "awslambdaric", handler], folder, invocations, variables
    )
    return ours, theirs


def with_frames(text: str) -> str:
    """Begin a line at each record of awslambdaric, which frames its records on Lambda alone."""
    return re.sub(r"(?<=[^\n])(?=\[(?:INFO|WARNING|ERROR)\][\t ])", "\n", text)


def same(ours: Transcript, theirs: Transcript) -> None:
    assert [(call, kind, comparable(body)) for call, kind, body in ours.calls] == [
        (call, kind, comparable(body)) for call, kind, body in theirs.calls
    ]
    assert timeless(ours.stdout) == timeless(with_frames(theirs.stdout))


def comparable(body: bytes) -> object:
    """Return an error as parsed JSON (the order of its fields does not matter), or the bytes."""
    if b'"stackTrace"' in body:
        return json.loads(re.sub(rb"repeated \d+ more times", b"repeated N more times", body))
    return body


def timeless(text: str) -> list[str]:
    """Return the log without times, and without the lines that awslambdaric writes about itself.

    These are a link to its documentation, and a line at its end.
    """
    text = re.sub(r"repeated \d+ more times", "repeated N more times", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", "<time>", text)
    text = re.sub(r"\[ERROR\] \[\d+\] LAMBDA_RUNTIME Failed to get next invocation.*\n", "", text)
    return [line for line in text.split("\n") if "LAMBDA_WARNING" not in line]


@pytest.mark.parametrize("code", HANDLERS.values(), ids=HANDLERS.keys())
def test_a_handler_has_the_outcome_that_it_has_in_the_managed_runtime(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    first = invocation({"a": [1, "ä", None]}, seconds=LIMIT_SECONDS)
    second = invocation("second", seconds=LIMIT_SECONDS)
    same(*both(api, tmp_path, code, [first, second]))


@pytest.mark.parametrize(
    "handler",
    [
        "app.handler",
        "app.Api.handler",
        "pkg/orders.handler",
        "pkg.orders.handler",
        "pkg/deep/orders.handler",
        "./pkg/orders.handler",
        "/pkg/orders.handler",
        "handler",
        "sys.handler",
        "nowhere.handler",
        "app.",
        "",
    ],
)
def test_a_handler_is_found_where_the_managed_runtime_finds_it(
    api: RuntimeApi, tmp_path: Path, handler: str
) -> None:
    code = "def handler(event, context): return __name__"
    same(*both(api, tmp_path, code, [invocation()], handler=handler))


@pytest.mark.parametrize(
    "code", [HANDLERS["context"], HANDLERS["trace id"]], ids=["context", "trace id"]
)
def test_a_handler_sees_its_caller_in_the_context(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    context = {"custom": {"a": 1}, "env": {"locale": "ä"}, "client": {"app_title": "shop"}}
    identity = {"cognitoIdentityId": "eu:1", "cognitoIdentityPoolId": "eu:2"}
    asked = invocation(
        {},
        trace_id="Root=1-2-3",
        client_context=json.dumps(context),
        cognito_identity=json.dumps(identity),
        tenant_id="blue",
        seconds=LIMIT_SECONDS,
    )
    same(*both(api, tmp_path, code, [asked, invocation({}, seconds=LIMIT_SECONDS)]))


def test_a_trace_context_of_the_caller_is_apart_from_its_client_context(
    api: RuntimeApi, tmp_path: Path
) -> None:
    """Awslambdaric has it since 4.2. With a former version, only the rest is compared."""
    fields = {"traceparent": "00-1-2-01", "baggage": "a=1", "tracestate": 7, "other": "no"}
    code = """
        from awslambdaric.lambda_context import LambdaContext
        def handler(event, context):
            if not hasattr(LambdaContext, "w3c"):
                return "a former version"
            client = context.client_context
            return [context.w3c(), client and client.custom, hasattr(client, "w3c")]
        """
    contexts = (json.dumps({"custom": {"a": 1}, "w3c": fields}), '{"w3c": 3}', "")
    asked = [invocation({}, client_context=context) for context in contexts]
    ours, theirs = both(api, tmp_path, code, asked)
    assert ours.calls == theirs.calls
    assert all(call.startswith("response") for call, *_ in ours.calls)


def test_a_broken_client_context_is_the_callers_fault(api: RuntimeApi, tmp_path: Path) -> None:
    same(*both(api, tmp_path, HANDLERS["echo"], [invocation({}, client_context="{nonsense")]))


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'{"a": NaN}', b"1" * 30], ids=repr)
def test_an_event_that_is_not_json_is_the_same_error(
    api: RuntimeApi, tmp_path: Path, body: bytes
) -> None:
    asked = replace(invocation(), event=body)
    ours, theirs = both(api, tmp_path, HANDLERS["echo"], [asked])
    assert [call[:2] for call in ours.calls] == [call[:2] for call in theirs.calls]


@pytest.mark.parametrize("code", ["def handler(event): return 1", "handler = 3"])
def test_a_handler_that_cannot_be_called_is_an_error_without_frames_of_the_runtime(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    ours, theirs = both(api, tmp_path, code, [invocation()])
    document = json.loads(theirs.calls[0][2]) | {"stackTrace": []}
    assert json.loads(ours.calls[0][2]) == document


@pytest.mark.parametrize("name", ["unicode without surrogates", "raises", "decimals"])
def test_runtimes_before_python_3_12_write_escapes(
    api: RuntimeApi, tmp_path: Path, name: str
) -> None:
    old = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}
    same(*both(api, tmp_path, HANDLERS[name], [invocation({})], environment=old))


@pytest.mark.parametrize("name", ["logs", "raises", "module raises"])
@pytest.mark.parametrize("level", ["", "DEBUG", "TRACE", "ERROR"])
def test_logs_in_json_are_the_same(api: RuntimeApi, tmp_path: Path, name: str, level: str) -> None:
    chosen = {"AWS_LAMBDA_LOG_FORMAT": "JSON"} | ({"AWS_LAMBDA_LOG_LEVEL": level} if level else {})
    asked = [invocation({}, tenant_id="blue"), invocation({})]
    ours, theirs = both(api, tmp_path, HANDLERS[name], asked, environment=chosen)
    assert ours.calls == theirs.calls
    assert records(ours) == records(theirs)


def test_an_error_that_is_logged_outside_of_an_except_block_fails_in_json(
    api: RuntimeApi, tmp_path: Path
) -> None:
    """It fails on Lambda, so that it must not pass here."""
    code = """
        import logging
        def handler(event, context): logging.error("nothing was raised", exc_info=True)
        """
    chosen = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    for run in both(api, tmp_path, code, [invocation({})], environment=chosen):
        ((call, kind, body),) = run.calls
        assert (call.partition(" ")[0], kind) == ("error", "Unhandled")
        assert json.loads(body)["errorType"] == "AttributeError"


def records(run: Transcript) -> list[object]:
    lines = [line for line in timeless(run.stdout) if line]
    return [json.loads(line) if line.startswith("{") else line for line in lines]


@pytest.mark.parametrize("size", [1_000, 200_000, 6_000_000])
def test_a_large_answer_arrives_whole(api: RuntimeApi, tmp_path: Path, size: int) -> None:
    ours, theirs = both(
        api, tmp_path, f"def handler(event, context): return 'x' * {size}", [invocation()]
    )
    assert ours.calls == theirs.calls
    assert len(ours.calls[0][2]) == size + 2


@pytest.mark.parametrize(
    "name", ["sys.exit", "sys.exit 0", "os._exit", "module exits", "module raises"]
)
def test_a_process_ends_with_the_same_status(api: RuntimeApi, tmp_path: Path, name: str) -> None:
    ours, theirs = both(api, tmp_path, HANDLERS[name], [invocation()])
    assert ours.exit_status == theirs.exit_status


def test_stderr_is_the_same_also_of_threads_that_fail(api: RuntimeApi, tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys, threading, warnings
        def fail(): raise RuntimeError("in a thread")
        def handler(event, context):
            thread = threading.Thread(target=fail, name="mine")
            thread.start()
            thread.join()
            print("to stderr", file=sys.stderr)
            sys.stderr.write("no end of line")
            warnings.warn("careful")
            os.write(2, b"\\nraw")
            child = "import sys; print('child'); print('err', file=sys.stderr)"
            subprocess.run([sys.executable, "-c", child])
            return "fine"
        """
    ours, theirs = both(api, tmp_path, code, [invocation({})])
    same(ours, theirs)
    assert "in a thread" in ours.stderr
    assert theirs.stderr.startswith(ours.stderr)  # then awslambdaric tells how it ended


def test_the_bootstrap_uses_the_syntax_of_python_3_9() -> None:
    ast.parse(PYTHON_BOOTSTRAP.read_text(), feature_version=(3, 9))
