from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from textwrap import dedent

import pytest

from terralive_relay.events import Warned
from terralive_relay.pool import records
from terralive_relay.pool.pool import CREDENTIALS_SECONDS, IDLE_SECONDS, Pool
from terralive_relay.pool.records import PoolResult
from terralive_stub.errors import ConfigurationError
from terralive_testing.drivers.workers import Recorder, document, invocation, local_function
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction
from terralive_workers.guardian import Guardian
from terralive_workers.process import Process
from terralive_workers.runtime_api.server import RuntimeApi

ROLE = {
    "AWS_ACCESS_KEY_ID": "ASIAROLE",
    "AWS_SECRET_ACCESS_KEY": "role-secret",
    "AWS_SESSION_TOKEN": "role-token",
}
PID = "import os\ndef handler(event, context): return os.getpid()"
# Waits until the file that the event names is there; says that it runs by another one.
GATED = """
    import os, time
    def handler(event, context):
        open(event + ".running", "w").close()
        while not os.path.exists(event):
            time.sleep(0.005)
        return event
    """


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


MakePool = Callable[..., Pool]


@pytest.fixture
def make_pool(api: RuntimeApi, sink: Recorder) -> Iterator[MakePool]:
    pools = []

    def make(
        function: LocalFunction,
        *,
        command: Sequence[str] | None = None,
        enforce_deadline: bool = True,
        idle_s: float = IDLE_SECONDS,
        credentials_s: float = CREDENTIALS_SECONDS,
    ) -> Pool:
        pool = Pool(
            function,
            api,
            sink,
            command=command,
            enforce_deadline=enforce_deadline,
            idle_s=idle_s,
            credentials_s=credentials_s,
        )
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker that has answered come back late, so that a slow machine starts no other one."""
    monkeypatch.setattr(records, "ANSWERED_SECONDS", 60.0)


def result(future: Future[PoolResult]) -> PoolResult:
    return future.result(timeout=30)


def value(future: Future[PoolResult]) -> object:
    """Return the handler's result."""
    got = result(future).outcome
    assert got.ok, got.body
    return json.loads(got.body)


def alive(pid: int) -> bool:
    if not Path("/proc/self").exists():  # macOS: whoever inherits a process there also reaps it
        return (
            subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
        )
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Answers


def test_a_handler_runs_with_the_event_and_its_result_comes_back(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(
        local_function(tmp_path, "def handler(event, context): return {'got': event, 'é': 1}")
    )
    got = result(pool.submit(invocation({"a": 1})))
    assert got.outcome.body == '{"got": {"a": 1}, "é": 1}'.encode()
    assert got.outcome.ok
    assert not got.timed_out
    assert got.handler_ms > 0


@pytest.mark.usefixtures("patient")
def test_the_next_invocation_finds_the_module_as_the_last_one_left_it(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = "import itertools\nn = itertools.count(1)\ndef handler(event, context): return next(n)"
    pool = make_pool(local_function(tmp_path, code))
    assert [value(pool.submit(invocation())) for _ in range(50)] == list(range(1, 51))


def test_an_error_is_the_handlers_own(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(
        local_function(tmp_path, "def handler(event, context): raise ValueError('no such order')")
    )
    asked = invocation()
    outcome = result(pool.submit(asked)).outcome
    assert outcome.error_type == "Unhandled"
    where = f'  File "{tmp_path}/app.py", line 1, in handler\n'
    code = "    def handler(event, context): raise ValueError('no such order')\n"
    assert document(outcome) == {
        "errorMessage": "no such order",
        "errorType": "ValueError",
        "requestId": asked.request_id,
        "stackTrace": [where + code],
    }


@pytest.mark.parametrize(
    ("statement", "ending"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit()", "Runtime exited without providing a reason"),
        ("os._exit(1)", "Runtime exited with error: exit status 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "Runtime exited with error: signal: segmentation fault",
        ),
    ],
)
def test_a_crash_is_reported_in_lambdas_words_and_the_next_invocation_runs(
    make_pool: MakePool, tmp_path: Path, statement: str, ending: str
) -> None:
    code = f"""
        import os, signal, sys
        def handler(event, context):
            if event: {statement}
            return 'fine'
        """
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation(True)
    outcome = result(pool.submit(asked)).outcome
    assert outcome.error_type == "Runtime.ExitError"
    assert document(outcome)["errorMessage"] == f"RequestId: {asked.request_id} Error: {ending}"
    assert value(pool.submit(invocation(None))) == "fine"


def test_a_response_over_six_megabytes_is_reported_in_lambdas_words(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return 'x' * event"))
    outcome = result(pool.submit(invocation(7_000_000))).outcome
    assert outcome.error_type == "Function.ResponseSizeTooLarge"
    assert "6291556 bytes" in str(document(outcome)["errorMessage"])
    assert value(pool.submit(invocation(3))) == "xxx"


def test_an_event_of_six_megabytes_arrives_whole(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return len(event)"))
    assert value(pool.submit(invocation("x" * 6_000_000))) == 6_000_000


def test_a_handler_that_takes_over_the_runtime_api_while_it_is_imported_is_served(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = """
        import http.client, os
        host, _, prefix = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
        runtime = http.client.HTTPConnection(host)
        while True:
            runtime.request("GET", f"/{prefix}/2018-06-01/runtime/invocation/next")
            got = runtime.getresponse()
            request_id, event = got.headers["Lambda-Runtime-Aws-Request-Id"], got.read()
            print("took", request_id)
            response = f"/{prefix}/2018-06-01/runtime/invocation/{request_id}/response"
            runtime.request("POST", response, b"took " + event)
            assert runtime.getresponse().read() == b'{"status": "OK"}'
        """
    pool = make_pool(local_function(tmp_path, code))
    for number in range(3):
        assert result(pool.submit(invocation(number))).outcome.body == f"took {number}".encode()


def test_awslambdaric_can_be_the_runtime(make_pool: MakePool, tmp_path: Path) -> None:
    pytest.importorskip("runtime_client", reason="awslambdaric's native client is not built here")
    function = local_function(
        tmp_path, "def handler(event, context): return [event, context.aws_request_id]"
    )
    pool = make_pool(function, command=[sys.executable, "-m", "awslambdaric", "app.handler"])
    for _ in range(3):
        asked = invocation("e")
        assert value(pool.submit(asked)) == ["e", asked.request_id]
    (tmp_path / "app.py").write_text("1 / 0")
    pool.mark_stale()
    assert document(result(pool.submit(invocation())).outcome)["errorType"] == "ZeroDivisionError"


def test_a_runtime_that_nothing_runs_here_is_named(
    api: RuntimeApi, sink: Recorder, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"aws_lambda_function\.orders has the runtime 'java21'"
    ):
        Pool(replace(local_function(tmp_path), runtime="java21"), api, sink)


def test_a_code_root_that_is_gone_is_an_outcome(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(replace(local_function(tmp_path), path=tmp_path / "gone"))
    outcome = result(pool.submit(invocation())).outcome
    assert outcome.error_type == "Runtime.InvalidEntrypoint"
    assert "No such file or directory" in str(document(outcome)["errorMessage"])


def test_an_interpreter_that_is_not_there_is_an_outcome(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(replace(local_function(tmp_path), python=tmp_path / "nopython"))
    assert result(pool.submit(invocation())).outcome.error_type == "Runtime.ExitError"
    assert any("nopython" in line for line in sink.lines())


# Logs


@pytest.mark.usefixtures("patient")
def test_lines_are_there_before_the_result_and_belong_to_their_invocation(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = """
        import os, sys
        print("importing")
        def handler(event, context):
            print("out", event)
            print("err", event, file=sys.stderr)
            sys.__stdout__.write("beneath")  # no newline, not flushed
            os.system("echo from a child")
        """
    pool = make_pool(local_function(tmp_path, code))
    for number in range(30):
        asked = invocation(number)
        value(pool.submit(asked))
        assert sorted(sink.lines(asked.request_id)) == sorted(
            ["out " + str(number), "from a child", "beneath", "err " + str(number)]
        )
    assert sink.lines("") == ["importing"]


def test_output_without_end_arrives_whole_and_in_order(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = "def handler(event, context):\n    for n in range(event): print(n, 'x' * 100)"
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation(20_000)
    value(pool.submit(asked))
    assert [int(line.split()[0]) for line in sink.lines(asked.request_id)] == list(range(20_000))


def test_bytes_that_are_no_text_are_shown_as_well_as_possible(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = "import os\ndef handler(event, context): os.write(1, b'\\xff\\xfe caf\\xc3\\xa9\\n')"
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation()
    value(pool.submit(asked))
    assert sink.lines(asked.request_id) == ["\ufffd\ufffd café"]


@pytest.mark.parametrize("newline", ["\\n", ""])
def test_ten_megabytes_of_output_stall_nothing(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, newline: str
) -> None:
    code = f"""
        import os
        def handler(event, context):
            left = memoryview((b"x" * 99 + b"{newline or "x"}") * 100_000)
            while left:
                left = left[os.write(1, left):]
            return "fine"
        """
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation()
    assert value(pool.submit(asked)) == "fine"
    lines = sink.lines(asked.request_id)
    assert sum(map(len, lines)) == (9_900_000 if newline else 10_000_000)
    assert len(lines) == (100_000 if newline else 39)  # CloudWatch's longest event has 256 KB


def test_lines_belong_to_their_invocation_when_several_write_at_the_same_time(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = """
        import os
        def handler(event, context):
            for n in range(2000):
                os.write(1 + n % 2, f"{context.aws_request_id} {n}\\n".encode())
            os.write(1, f"{context.aws_request_id} ends without a newline".encode())
        """
    pool = make_pool(local_function(tmp_path, code, max_workers=8))
    asked = [invocation() for _ in range(24)]
    for future in [pool.submit(one) for one in asked]:
        value(future)
    for one in asked:
        lines = sink.lines(one.request_id)
        assert all(line.startswith(one.request_id + " ") for line in lines)
        numbers = [int(line.split()[1]) for line in lines if not line.endswith("newline")]
        assert [n for n in numbers if n % 2 == 0] == list(range(0, 2000, 2))
        assert [n for n in numbers if n % 2] == list(range(1, 2000, 2))
        assert f"{one.request_id} ends without a newline" in lines


def test_every_byte_there_is_comes_out_as_text_and_the_next_lines_are_whole(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = """
        import os
        def handler(event, context):
            os.write(1, bytes(range(256)) * 4096)
            print('after')
        """
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation()
    value(pool.submit(asked))
    lines = sink.lines(asked.request_id)
    assert lines[-1].endswith("after")
    assert len([line for line in lines if line.startswith("\x0b\x0c")]) == 4096


def test_a_long_line_is_cut_between_characters(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = "def handler(event, context): print('x' + 'é' * 400_000)"
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation()
    value(pool.submit(asked))
    assert "".join(sink.lines(asked.request_id)) == "x" + "é" * 400_000


@pytest.mark.parametrize(
    "how", ["sys.stdout.close()", "os.close(1)", "sys.stdout = None", "os.closerange(3, 99)"]
)
def test_a_handler_that_closes_what_is_not_its_own_still_answers(
    make_pool: MakePool, tmp_path: Path, how: str
) -> None:
    code = f"import os, sys\ndef handler(event, context):\n    {how}\n    return 'fine'"
    pool = make_pool(local_function(tmp_path, code))
    got = result(pool.submit(invocation()))
    if (
        "closerange" in how
    ):  # the connection to the Runtime API is gone: Lambda calls that an exit, too
        assert got.outcome.error_type == "Runtime.ExitError"
    else:
        assert got.outcome.body == b'"fine"'


def test_a_crash_keeps_its_last_words(make_pool: MakePool, sink: Recorder, tmp_path: Path) -> None:
    code = (
        "import os\ndef handler(event, context):\n    os.write(2, b'last words')\n    os._exit(1)"
    )
    pool = make_pool(local_function(tmp_path, code))
    asked = invocation()
    result(pool.submit(asked))
    assert sink.lines(asked.request_id) == ["last words"]


# Deadlines


@pytest.mark.usefixtures("patient")
def test_at_the_deadline_the_worker_and_all_it_started_are_killed(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = """
        import os, subprocess, time
        def handler(event, context):
            if event == "start a child":
                return [os.getpid(), subprocess.Popen(["sleep", "1000"]).pid]
            if event == "slow":
                time.sleep(1000)
            return "fine"
        """
    pool = make_pool(local_function(tmp_path, code))
    pids = value(pool.submit(invocation("start a child")))
    assert isinstance(pids, list)
    asked = invocation("slow", seconds=1.5)
    got = result(pool.submit(asked))
    assert got.timed_out
    assert got.outcome.error_type == "Sandbox.Timedout"
    words = rf"^2\S+Z {asked.request_id} Task timed out after 1\.\d\d seconds$"
    assert re.match(words, str(document(got.outcome)["errorMessage"]))
    assert got.handler_ms > 300
    eventually(lambda: not any(alive(pid) for pid in pids), "worker and child are gone")
    assert value(pool.submit(invocation())) == "fine"


def test_an_invocation_that_waits_for_a_worker_times_out_too(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=1))
    first = pool.submit(invocation(str(tmp_path / "first")))
    second = pool.submit(invocation(str(tmp_path / "second"), seconds=0.3))
    got = result(second)
    assert got.timed_out
    assert got.handler_ms == 0
    (tmp_path / "first").touch()
    assert value(first) == str(tmp_path / "first")


def test_invocations_that_no_worker_has_taken_are_counted(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    pool.hold()
    waiting = [pool.submit(invocation()) for _ in range(2)]
    assert pool.waiting == 2
    pool.built()
    for future in waiting:
        value(future)
    assert pool.waiting == 0


def test_a_module_that_takes_longer_than_the_deadline_times_out(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "import time\ntime.sleep(1000)"))
    assert result(pool.submit(invocation(seconds=0.3))).timed_out


def test_under_a_debugger_the_deadline_does_not_count(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, GATED), enforce_deadline=False)
    future = pool.submit(invocation(str(tmp_path / "go"), seconds=0.0))
    eventually((tmp_path / "go.running").exists, "the handler runs")
    (tmp_path / "go").touch()
    assert value(future) == str(tmp_path / "go")


# Several at once


def test_invocations_run_side_by_side_up_to_the_limit_and_wait_beyond_it(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=3))
    names = [str(tmp_path / f"i{number}") for number in range(5)]
    futures = [pool.submit(invocation(name)) for name in names]
    running = [Path(name + ".running") for name in names]
    eventually(lambda: all(path.exists() for path in running[:3]), "three run")
    assert not any(path.exists() for path in running[3:])
    Path(names[1]).touch()
    assert value(futures[1]) == names[1]
    eventually(running[3].exists, "the fourth runs")
    assert not running[4].exists()
    for name in names:
        Path(name).touch()
    assert [value(future) for future in futures] == names


def test_a_wait_for_a_worker_is_measured_and_explained_the_first_time(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=1))
    names = [str(tmp_path / name) for name in ("first", "second", "third")]
    futures = [pool.submit(invocation(name)) for name in names]
    eventually(Path(names[0] + ".running").exists, "the first runs")
    (reported,) = sink.of_type(Warned)
    assert (reported.reference, reported.function) == ("workers-all-busy", "orders")
    assert "1 busy worker is free" in reported.message
    assert "max_workers in [functions.'aws_lambda_function.orders']" in reported.message
    time.sleep(0.2)
    for name in names:
        Path(name).touch()
    waits = [result(future).waited_ms for future in futures]
    assert min(waits[1:]) >= 200
    assert len(sink.of_type(Warned)) == 1


def test_an_invocation_that_no_worker_took_has_waited_and_not_run(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=1))
    pool.submit(invocation(str(tmp_path / "first")))
    asked = invocation(str(tmp_path / "second"), seconds=0.3)
    future = pool.submit(asked)
    waits_from_now_ms = asked.deadline.remaining(time.monotonic()) * 1000
    got = result(future)
    assert got.handler_ms == 0
    assert got.waited_ms >= waits_from_now_ms


def test_workers_enough_are_no_reason_for_a_warning(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID, max_workers=2))
    for future in [pool.submit(invocation()) for _ in range(2)]:
        value(future)
    assert sink.of_type(Warned) == []


@pytest.mark.usefixtures("patient")
def test_one_after_the_other_needs_only_one_worker(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    assert len({value(pool.submit(invocation())) for _ in range(100)}) == 1


def test_a_worker_without_work_is_let_go(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, PID), idle_s=0.2)
    pid = value(pool.submit(invocation()))
    assert isinstance(pid, int)
    eventually(lambda: not alive(pid), "the worker is gone")
    assert value(pool.submit(invocation())) != pid


def test_a_pool_that_another_one_replaces_ends_what_runs_and_hands_on_what_waits(
    make_pool: MakePool, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    before = make_pool(local_function(tmp_path, GATED, max_workers=1))
    after = make_pool(
        local_function(tmp_path / "other", "def handler(event, context): return 'after'")
    )
    runs = before.submit(invocation(str(tmp_path / "go")))
    eventually((tmp_path / "go.running").exists, "the handler runs")
    waits = before.submit(invocation(str(tmp_path / "never")))
    before.finish(after)
    assert value(waits) == "after"
    (tmp_path / "go").touch()
    assert value(runs) == str(tmp_path / "go")
    eventually(lambda: not before._workers.present, "its worker is gone")


def test_a_pool_whose_function_is_not_served_any_more_runs_what_it_has(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=1))
    futures = [pool.submit(invocation(str(tmp_path / name))) for name in ("1", "2")]
    pool.finish(None)
    for name in ("1", "2"):
        (tmp_path / name).touch()
    assert [value(future) for future in futures] == [str(tmp_path / "1"), str(tmp_path / "2")]
    eventually(lambda: not pool._workers.present, "its workers are gone")


def test_a_callback_may_ask_for_more(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return event"))
    done = threading.Event()
    last: list[Future[PoolResult]] = []

    def again(_: Future[PoolResult]) -> None:
        last.append(pool.submit(invocation("second")))
        done.set()

    pool.submit(invocation("first")).add_done_callback(again)
    assert done.wait(30)
    assert value(last[0]) == "second"


# Changes


def test_after_a_change_the_next_invocation_runs_the_new_code(
    make_pool: MakePool, tmp_path: Path
) -> None:
    function = local_function(tmp_path, "def handler(event, context): return 'old'")
    pool = make_pool(function)
    assert value(pool.submit(invocation())) == "old"
    for number in range(5):
        (tmp_path / "app.py").write_text(f"def handler(event, context): return {number}")
        pool.mark_stale()
        assert value(pool.submit(invocation())) == number


def test_a_running_handler_finishes_with_the_code_it_began_with(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED))
    old = pool.submit(invocation(str(tmp_path / "go")))
    eventually((tmp_path / "go.running").exists, "the handler runs")
    (tmp_path / "app.py").write_text("def handler(event, context): return 'new'")
    pool.mark_stale()
    assert value(pool.submit(invocation())) == "new"
    (tmp_path / "go").touch()
    assert value(old) == str(tmp_path / "go")
    assert [value(pool.submit(invocation())) for _ in range(3)] == ["new"] * 3


def test_after_a_change_the_imports_are_done_before_the_next_invocation(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = "import os\nprint('imported')\ndef handler(event, context): return os.getpid()"
    pool = make_pool(local_function(tmp_path, code))
    before = value(pool.submit(invocation()))
    pool.mark_stale()
    sink.wait_for("imported", times=2)
    assert value(pool.submit(invocation())) != before
    assert sink.lines().count("imported") == 2


def test_nothing_is_started_ahead_before_the_environment_is_known(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(
        local_function(tmp_path, "print('imported')\ndef handler(event, context): pass")
    )
    pool.mark_stale()
    value(pool.submit(invocation()))
    assert sink.lines().count("imported") == 1


def test_a_known_environment_lets_a_worker_start_ahead(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = "import os\nprint('imported', os.environ['TABLE'])\ndef handler(event, context): pass"
    pool = make_pool(local_function(tmp_path, code))
    known = {"TABLE": "orders"}
    value(pool.submit(invocation(environment=known)))
    pool.mark_stale()
    eventually(lambda: sink.lines() == ["imported orders"] * 2, "a worker ahead")
    value(pool.submit(invocation(environment=known)))
    assert sink.lines() == ["imported orders"] * 2


@pytest.mark.parametrize(
    ("code", "error_type"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import nosuchthing", "Runtime.ImportModuleError"),
        ("def handler(:", "Runtime.UserCodeSyntaxError"),
        ("import sys\nsys.exit(4)", "Runtime.ExitError"),
    ],
)
def test_broken_code_is_the_error_of_every_invocation_until_it_is_mended(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, code: str, error_type: str
) -> None:
    pool = make_pool(local_function(tmp_path, code))
    for _ in range(3):
        outcome = result(pool.submit(invocation())).outcome
        assert outcome.error_type == error_type
        assert document(outcome)["errorType"] == error_type
    # Each is told before its invocation ends.
    missing = [item for item in sink.of_type(Warned) if item.reference == "module-missing"]
    assert len(missing) == (1 if "nosuchthing" in code else 0)
    (tmp_path / "app.py").write_text("def handler(event, context): return 'mended'")
    pool.mark_stale()
    assert value(pool.submit(invocation())) == "mended"


def test_a_start_that_failed_while_no_invocation_waited_is_the_next_ones_error(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): pass"))
    value(pool.submit(invocation()))
    (tmp_path / "app.py").write_text("print('imported')\n1 / 0")
    pool.mark_stale()
    sink.wait_for("[ERROR] ZeroDivisionError: division by zero")
    assert document(result(pool.submit(invocation())).outcome)["errorType"] == "ZeroDivisionError"
    assert sink.lines().count("imported") == 1
    result(pool.submit(invocation()))
    assert sink.lines().count("imported") == 2


@pytest.mark.parametrize(
    ("saved", "place"),
    [
        ({"app.py": "x = 1\ndef handler(:"}, "app.py:2: "),
        ({"app.py": "import lib", "lib.py": "\n\ndef f(:"}, "lib.py:3: "),
        ({"app.py": "x = 1\nimport nosuchthing"}, "app.py:2: "),
        ({"app.py": "import json\njson.loads('{')"}, "app.py:2: "),
        ({"app.py": "import sys\nsys.exit(4)"}, ""),
    ],
)
def test_a_save_that_does_not_load_is_reported_at_once_with_its_place(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, saved: Mapping[str, str], place: str
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return 'good'"))
    assert value(pool.submit(invocation())) == "good"
    for name, code in saved.items():
        (tmp_path / name).write_text(code)
    pool.mark_stale()
    eventually(lambda: bool(sink.of_type(Warned)), "a warning")
    (warned,) = sink.of_type(Warned)
    got = document(result(pool.submit(invocation())).outcome)
    assert warned.reference == "code-does-not-load"
    assert warned.message.startswith(place)
    assert str(got["errorMessage"]).rpartition("Error: ")[2] in warned.message
    (tmp_path / "app.py").write_text("def handler(event, context): return 'mended'")
    pool.mark_stale()
    assert value(pool.submit(invocation())) == "mended"


def test_a_change_during_the_only_invocation_that_may_run_is_warmed_after_it(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, GATED, max_workers=1))
    running = pool.submit(invocation(str(tmp_path / "go")))
    eventually((tmp_path / "go.running").exists, "the handler runs")
    (tmp_path / "app.py").write_text("print('imported')\ndef handler(event, context): return 'new'")
    pool.mark_stale()
    (tmp_path / "go").touch()
    assert value(running) == str(tmp_path / "go")
    sink.wait_for("imported")
    assert value(pool.submit(invocation())) == "new"


def test_a_failed_start_before_a_change_is_forgotten(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): pass"))
    value(pool.submit(invocation()))
    (tmp_path / "app.py").write_text("1 / 0")
    pool.mark_stale()
    sink.wait_for("[ERROR] ZeroDivisionError: division by zero")
    (tmp_path / "app.py").write_text("def handler(event, context): return 'mended'")
    pool.mark_stale()
    assert value(pool.submit(invocation())) == "mended"


# Environment


def test_the_handler_has_the_functions_environment_and_role(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = "import os\ndef handler(event, context): return [os.environ.get(name) for name in event]"
    pool = make_pool(local_function(tmp_path, code))
    names = ["TABLE", "STAGE", "AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "_HANDLER", "TERRALIVE"]
    got = value(
        pool.submit(invocation(names, environment={"TABLE": "real", "STAGE": "dev", **ROLE}))
    )
    assert got == ["real", "dev", "role-token", str(tmp_path), "app.handler", "1"]


def test_an_sdk_in_a_handler_finds_the_functions_role_region_and_endpoint_and_not_the_developers(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        "[default]\nregion = sa-east-1\nendpoint_url = http://developer:1\n"
    )
    (tmp_path / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = MINE\naws_secret_access_key = mine\n"
    )
    developer = {
        **os.environ,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "work",
        "AWS_ACCESS_KEY_ID": "MINE",
        "AWS_DEFAULT_REGION": "sa-east-1",
        "AWS_ENDPOINT_URL_SQS": "http://developer:1",
        "AWS_ROLE_ARN": "arn:mine",
    }
    code = """
        import boto3
        def handler(event, context):
            session = boto3.Session()
            clients = [session.client(name) for name in ("sqs", "sts")]
            keys = session.get_credentials()
            endpoints = [client.meta.endpoint_url for client in clients]
            return [keys.access_key, keys.token, session.region_name, endpoints]
        """
    monkeypatch.setattr(os, "environ", developer)
    pool = make_pool(local_function(tmp_path, code))
    on_aws = {**ROLE, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    in_sandbox = {**on_aws, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    seen = [
        value(pool.submit(invocation(environment=environment)))
        for environment in (on_aws, in_sandbox)
    ]
    mine = ["ASIAROLE", "role-token", "eu-west-1"]
    aws = ["https://sqs.eu-west-1.amazonaws.com", "https://sts.eu-west-1.amazonaws.com"]
    assert seen == [[*mine, aws], [*mine, ["http://127.0.0.1:4566"] * 2]]


@pytest.mark.usefixtures("patient")
def test_another_environment_gets_another_worker_and_both_stay(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    one, two = {"AWS_LAMBDA_FUNCTION_VERSION": "1"}, {"AWS_LAMBDA_FUNCTION_VERSION": "2"}
    pids = [
        value(pool.submit(invocation(environment=environment)))
        for environment in (one, two, one, two)
    ]
    assert pids[0] == pids[2] != pids[1] == pids[3]


def test_a_changed_variable_is_seen_by_the_next_invocation_even_at_the_limit(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = "import os\ndef handler(event, context): return os.environ['TABLE']"
    pool = make_pool(local_function(tmp_path, code, max_workers=1))
    for table in ("old", "new", "newer"):
        assert value(pool.submit(invocation(environment={"TABLE": table}))) == table


@pytest.mark.usefixtures("patient")
def test_credentials_of_another_execution_environment_need_no_other_worker(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    another = ROLE | {"AWS_ACCESS_KEY_ID": "ASIAOTHER"}
    assert (
        len({value(pool.submit(invocation(environment=role))) for role in (ROLE, another, ROLE)})
        == 1
    )


def test_credentials_not_seen_for_long_are_not_used_again(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = "import os\ndef handler(event, context): return os.environ['AWS_ACCESS_KEY_ID']"
    pool = make_pool(local_function(tmp_path, code), credentials_s=0.0)
    rotated = ROLE | {"AWS_ACCESS_KEY_ID": "ASIAROTATED"}
    assert [value(pool.submit(invocation(environment=role))) for role in (ROLE, rotated)] == [
        "ASIAROLE",
        "ASIAROTATED",
    ]


def test_a_workers_credentials_are_not_kept_alive_by_others(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = "import os\ndef handler(event, context): return os.environ['AWS_ACCESS_KEY_ID']"
    pool = make_pool(local_function(tmp_path, code), credentials_s=1.0)
    rotated = ROLE | {"AWS_ACCESS_KEY_ID": "ASIAROTATED"}
    assert value(pool.submit(invocation(environment=ROLE))) == "ASIAROLE"
    eventually(
        lambda: value(pool.submit(invocation(environment=rotated))) == "ASIAROTATED",
        "the new ones are used",
    )


def test_a_worker_started_ahead_with_credentials_of_long_ago_is_not_used(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = """
        import os
        print('imported')
        def handler(event, context): return os.environ['AWS_ACCESS_KEY_ID']
        """
    pool = make_pool(local_function(tmp_path, code), credentials_s=0.0)
    assert value(pool.submit(invocation(environment=ROLE))) == "ASIAROLE"
    pool.mark_stale()
    sink.wait_for("imported", times=2)
    rotated = ROLE | {"AWS_ACCESS_KEY_ID": "ASIAROTATED"}
    assert value(pool.submit(invocation(environment=rotated))) == "ASIAROTATED"


def test_the_code_tree_stays_clean(make_pool: MakePool, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    pool = make_pool(local_function(tmp_path, "import helper\ndef handler(event, context): pass"))
    value(pool.submit(invocation()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.py", "helper.py"]


# The end


def test_closing_answers_everyone_and_leaves_no_process(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    code = """
        import os, time
        def handler(event, context):
            print(os.getpid())
            time.sleep(1000)
        """
    pool = make_pool(local_function(tmp_path, code, max_workers=1))
    futures = [pool.submit(invocation()) for _ in range(3)]
    eventually(lambda: bool(sink.lines()), "the first runs")
    pool.close()
    pool.close()
    assert not alive(int(sink.lines()[0]))
    futures.append(pool.submit(invocation()))
    for future in futures:
        assert result(future).outcome.error_type == "Terralive.Stopped"


def test_closing_ends_every_thread(sink: Recorder, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    api = RuntimeApi()
    pool = Pool(local_function(tmp_path, "def handler(event, context): pass"), api, sink)
    value(pool.submit(invocation()))
    pool.close()
    api.close()
    # Threads of earlier tests may end meanwhile.
    eventually(lambda: set(threading.enumerate()) <= before, "all threads have ended")


@pytest.mark.parametrize("runtime", ["terralive's bootstrap", "another program"])
def test_no_worker_outlives_a_relay_that_is_killed(tmp_path: Path, runtime: str) -> None:
    code = """
        import os, subprocess, time
        child = subprocess.Popen(["sleep", "1000"])
        open("pids", "a").write(f"{os.getpid()} {child.pid} ")
        def handler(event, context):
            os.rename("pids", "all-pids")
            while True:
                pass
        """
    function = local_function(tmp_path, code)
    shell = ["/bin/sh", "-c", "sleep 1000 & echo $$ $! > all-pids; wait"]
    command = None if runtime == "terralive's bootstrap" else shell
    relay = f"""
        import sys
        from pathlib import Path, PosixPath
        from terralive_relay.pool.pool import Pool
        from terralive_testing.drivers.workers import invocation
        from terralive_workers.function import LocalFunction
        from terralive_workers.runtime_api.server import RuntimeApi
        pool = Pool({function!r}, RuntimeApi(), lambda event: None, command={command!r})
        pool.submit(invocation("loop")).result()
        """
    with subprocess.Popen([sys.executable, "-c", dedent(relay)], cwd=tmp_path) as process:
        eventually((tmp_path / "all-pids").exists, "the worker runs")
        eventually(
            lambda: len((tmp_path / "all-pids").read_text().split()) >= 2,
            "it has reported its processes",
        )
        pids = [int(pid) for pid in (tmp_path / "all-pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
        process.send_signal(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), "every worker and its child is gone")


def test_a_guardian_that_is_killed_is_replaced(
    api: RuntimeApi, make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    before = value(pool.submit(invocation()))
    guardian = api.guardian._process
    assert guardian is not None
    guardian.kill()
    guardian.wait()
    pool.mark_stale()
    after = value(pool.submit(invocation()))
    assert before != after
    api.guardian.close()  # as if this process had died
    assert isinstance(after, int)
    eventually(lambda: not alive(after), "the new guardian has ended the worker")


def test_a_worker_that_cannot_be_guarded_never_runs(tmp_path: Path) -> None:
    class Broken(Guardian):
        group = 0

        def watch(self, group: int) -> None:
            self.group = group
            raise OSError(24, "Too many open files")

    guardian, ended = Broken(), SimpleQueue[int | OSError]()
    command = ["touch", str(tmp_path / "ran")]
    process = Process(
        command,
        cwd=tmp_path,
        environment={},
        guardian=guardian,
        emit=lambda *_: None,
        on_exit=ended.put,
    )
    process.start()
    assert isinstance(ended.get(timeout=20), OSError)
    process.join(20)
    assert not alive(guardian.group)
    assert not (tmp_path / "ran").exists()


def test_a_worker_that_lingers_after_its_answer_delays_no_invocation(
    make_pool: MakePool, tmp_path: Path
) -> None:
    code = """
        import http.client, os, time
        host, _, prefix = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
        runtime = http.client.HTTPConnection(host)
        runtime.request("GET", f"/{prefix}/2018-06-01/runtime/invocation/next")
        got = runtime.getresponse()
        got.read()
        request_id = got.headers["Lambda-Runtime-Aws-Request-Id"]
        response = f"/{prefix}/2018-06-01/runtime/invocation/{request_id}/response"
        runtime.request("POST", response, b"1")
        time.sleep(1000)
        """
    pool = make_pool(local_function(tmp_path, code))
    assert [value(pool.submit(invocation())) for _ in range(3)] == [1, 1, 1]


def test_credentials_are_in_no_line_and_no_description(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): raise RuntimeError"))
    asked = invocation(environment=ROLE)
    got = result(pool.submit(asked))
    assert "role-secret" not in repr((pool, asked, got, pool.__dict__["_workers"])) + "".join(
        sink.lines()
    )


@pytest.mark.parametrize("value", ["\x00", "\ud800"])
def test_an_environment_that_no_process_can_have_is_a_named_error_and_the_next_invocation_runs(
    value: str, make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    outcome = pool.submit(invocation(environment={"TABLE": value})).result(30).outcome
    assert document(outcome)["errorType"] == "Runtime.InvalidEntrypoint"
    assert pool.submit(invocation(environment={"TABLE": "orders"})).result(30).outcome.ok


def test_headers_that_no_http_can_carry_cost_the_handler_nothing(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, PID))
    assert (
        pool.submit(invocation(trace_id="\ud800\r\nLambda-Runtime-Deadline-Ms: 0"))
        .result(30)
        .outcome.ok
    )


def test_variables_that_are_left_out_are_named_once_in_one_warning(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return event"))
    unsafe = {"BASH_ENV": "/secret-1", "GIT_SSH": "secret-2", "CONFIG": "/opt/secret-3"}
    for value in range(3):
        # Another value needs another worker.
        pool.submit(invocation(environment=unsafe | {"VALUE": str(value)})).result(30)
    pool.submit(invocation(environment=unsafe | {"LD_AUDIT": "secret-4"})).result(30)
    told = [(warning.reference, warning.function) for warning in sink.of_type(Warned)]
    assert told == [
        ("variables-left-out", "orders"),
        ("variables-name-lambda-folders", "orders"),
        ("variables-left-out", "orders"),
    ]
    first, in_lambda, second = (warning.message for warning in sink.of_type(Warned))
    assert "BASH_ENV, GIT_SSH." in first
    assert "CONFIG" in in_lambda
    assert "LD_AUDIT." in second
    assert "BASH_ENV" not in second
    assert "secret" not in first + in_lambda + second


@pytest.mark.parametrize("printed", ["print('late')", "sys.stderr.write('late\\n')"])
def test_what_a_thread_writes_after_the_answer_belongs_to_no_invocation_and_is_told(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, printed: str
) -> None:
    code = f"""
        import os, sys, threading, time
        def later(file):
            while not os.path.exists(file):
                time.sleep(0.005)
            {printed}
        def handler(event, context):
            print("now")
            threading.Thread(target=later, args=(event,), daemon=True).start()
        """
    pool = make_pool(local_function(tmp_path, code))
    file = tmp_path / "answered"
    first = invocation(str(file))
    assert value(pool.submit(first)) is None
    assert sink.lines(first.request_id) == ["now"]
    assert sink.of_type(Warned) == []
    file.touch()
    sink.wait_for("late")
    assert sink.lines("") == ["late"]
    eventually(lambda: len(sink.of_type(Warned)) == 1, "the warning")
    (warning,) = sink.of_type(Warned)
    assert (warning.reference, warning.function) == ("output-after-answer", "orders")


@pytest.mark.usefixtures("patient")
def test_what_a_thread_writes_in_the_next_invocation_is_among_that_ones_lines(
    make_pool: MakePool, sink: Recorder, tmp_path: Path
) -> None:
    """As in CloudWatch, where the position of a line is all that tells its invocation."""
    code = """
        import threading
        begins, written = threading.Event(), threading.Event()
        def later():
            begins.wait()
            print("of the first")
            written.set()
        def handler(event, context):
            if event == "first":
                threading.Thread(target=later, daemon=True).start()
            else:
                begins.set()
                written.wait()
        """
    pool = make_pool(local_function(tmp_path, code))
    first, second = invocation("first"), invocation("second")
    for asked in (first, second):
        assert value(pool.submit(asked)) is None
    assert sink.lines(first.request_id) == []
    assert sink.lines(second.request_id) == ["of the first"]
    assert sink.of_type(Warned) == []


@pytest.mark.parametrize(
    "form", ["%(message)s", '{"m": "%(message)s"}', "%(aws_request_id)s %(message)s"]
)
def test_each_record_is_a_line_whatever_formatter_a_team_sets(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, form: str
) -> None:
    """As python-json-logger is set: a formatter of its own on the root logger's first handler."""
    code = f"""
        import logging
        root = logging.getLogger()
        root.setLevel("INFO")
        root.handlers[0].setFormatter(logging.Formatter({form!r}))
        def handler(event, context):
            root.info("first")
            print("a print")
            root.info("second")
        """
    own = invocation()
    assert value(make_pool(local_function(tmp_path, code)).submit(own)) is None
    values = {"aws_request_id": own.request_id}
    first, second = (form % {**values, "message": text} for text in ("first", "second"))
    assert sink.lines(own.request_id) == [first, "a print", second]


UNFINISHED = {
    "python": """
        import contextlib, io, logging, sys
        def handler(event, context):
            logging.error("record 1")
            print("50 %", end="")
            logging.error("record 2")
            sys.stdout.writelines(["60", " %"])
            context.log("record 3")
            with contextlib.redirect_stdout(io.StringIO()):
                print("captured")
                logging.error("record 4")
            print("100 %", end="")
        """,
    "node": """
        exports.handler = async () => {
          console.log("record 1")
          process.stdout.write("50 %")
          console.log("record 2")
          process.stdout.write(Buffer.from("60 %"))
          console.error("record 3")
          const { write } = process.stdout
          process.stdout.write = () => true
          process.stdout.write("captured")
          console.log("record 4")
          process.stdout.write = write
          process.stdout.write("100 %")
        }
        """,
}


@pytest.mark.parametrize("language", list(UNFINISHED))
@pytest.mark.usefixtures("patient")
def test_a_record_is_a_line_of_its_own_also_behind_output_that_has_ended_none(
    make_pool: MakePool, sink: Recorder, tmp_path: Path, language: str
) -> None:
    """On Lambda, records are framed in a file of their own, and the rest is written to stdout."""
    function = local_function(tmp_path, UNFINISHED["python"])
    if language == "node":
        node = shutil.which("node")
        if node is None:
            pytest.skip("there is no node on PATH")
        (tmp_path / "app.js").write_text(dedent(UNFINISHED["node"]))
        function = replace(function, runtime="nodejs20.x", node=Path(node))
    pool = make_pool(function)
    for asked in (invocation(), invocation()):
        assert value(pool.submit(asked)) is None
        lines = [line.rpartition("\t")[2] for line in sink.lines(asked.request_id)]
        assert lines == ["record 1", "50 %", "record 2", "60 %", "record 3", "record 4", "100 %"]
