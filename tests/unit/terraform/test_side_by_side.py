"""Terraform runs of two threads: nothing beside an init, and one failure that stops the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from terralive_stub.errors import TerraformError
from terralive_terraform.side_by_side.beside import Beside
from terralive_terraform.side_by_side.runs import RunsAtOnce, StoppedError

PATIENCE_SECONDS = 20.0
FAILURE = TerraformError("terraform-failed", "The table cannot be planned.")


class Work:
    """The work of the other thread, as a context. It keeps what has happened.

    Args:
        runs: the runs of both threads.
        failure: the error that it ends in; None for none.
        waits: whether it works until it is stopped.
    """

    def __init__(
        self, runs: RunsAtOnce, failure: BaseException | None = None, *, waits: bool = False
    ) -> None:
        self.runs = runs
        self.works = threading.Event()
        self.done: list[str] = []
        self._failure = failure
        self._waits = waits

    @contextmanager
    def entered(self) -> Iterator[str]:
        self.done.append("begun")
        with self.runs.run():
            self.works.set()
            if self._waits:
                # What a process does when it is asked to end.
                wait_for(lambda: self.runs.stops() > 0)
                raise StoppedError
            if self._failure is not None:
                raise self._failure
        try:
            yield "planned"
        finally:
            self.done.append("left")

    def fail_here(self, error: BaseException) -> None:
        """End the work of this thread while the other one works."""
        self.runs.begin()
        assert self.works.wait(PATIENCE_SECONDS)
        raise error

    def go_on_here(self) -> None:
        """Run Terraform on this thread after the other one has failed."""
        self.runs.begin()
        wait_for(lambda: self.runs.stops() > 0)
        with self.runs.run():
            pytest.fail("no Terraform runs after a failure")

    def beside(self, on_result: Callable[[], None] = lambda: None) -> Beside[str]:
        return Beside(self.entered(), self.runs, on_result)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is true; fail after a long time."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS * 100)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it never came true")


def test_the_result_is_there_when_it_is_waited_for_and_is_left_once() -> None:
    work = Work(RunsAtOnce())
    with work.beside(lambda: work.done.append("waited for")) as beside:
        assert beside.result() == beside.result() == "planned"
        beside.close()
        assert work.done.count("left") == 1
    assert work.done.count("left") == 1
    assert "waited for" in work.done


def test_the_other_thread_begins_when_this_one_has_made_its_init() -> None:
    work = Work(RunsAtOnce())
    with work.beside():
        with work.runs.init():
            assert work.done == []
        assert work.done == []
        work.runs.begin()
        assert work.works.wait(PATIENCE_SECONDS)
    assert work.done[0] == "begun"


def test_work_that_nobody_waits_for_does_not_begin() -> None:
    work = Work(RunsAtOnce())
    with pytest.raises(TerraformError), work.beside():
        raise TerraformError("terraform-failed", "The app cannot be planned.")
    assert work.done == []


def test_a_failure_of_this_thread_stops_the_other_one_and_is_the_error() -> None:
    work = Work(RunsAtOnce(), waits=True)
    with pytest.raises(TerraformError, match="The app"), work.beside():
        work.fail_here(TerraformError("terraform-failed", "The app cannot be planned."))
    assert work.done == ["begun"]


def test_a_failure_of_the_other_thread_stops_this_one_and_is_the_error() -> None:
    work = Work(RunsAtOnce(), FAILURE)
    shown: list[str] = []
    with (
        pytest.raises(TerraformError) as caught,
        work.beside(lambda: shown.append("progress")),
    ):
        work.go_on_here()
    assert caught.value is FAILURE
    assert shown == ["progress"]


def test_a_failure_of_the_other_thread_is_the_error_where_this_one_has_nothing_more_to_do() -> None:
    work = Work(RunsAtOnce(), FAILURE)
    with pytest.raises(TerraformError) as caught, work.beside() as beside:
        beside.result()
    assert caught.value is FAILURE


def test_ctrl_c_stops_the_other_thread_too() -> None:
    work = Work(RunsAtOnce(), waits=True)
    with pytest.raises(KeyboardInterrupt), work.beside():
        work.fail_here(KeyboardInterrupt())
    assert work.done == ["begun"]


@pytest.mark.parametrize("failure", [None, FAILURE], ids=["success", "failure"])
def test_terraform_runs_again_after_it(failure: TerraformError | None) -> None:
    work = Work(RunsAtOnce(), failure)
    with work.beside() as beside:
        if failure is None:
            beside.result()
        else:
            with pytest.raises(TerraformError):
                beside.result()
    with work.runs.init():
        pass
    with work.runs.run():
        assert work.runs.stops() == 0


def test_nothing_runs_beside_an_init() -> None:
    runs = RunsAtOnce()
    ended: list[str] = []

    def run() -> None:
        with runs.run():
            ended.append("run")

    def init() -> None:
        with runs.init():
            ended.append("init")

    with runs.init():
        threads = [threading.Thread(target=work) for work in (run, init)]
        for thread in threads:
            thread.start()
        threads[0].join(0.3)
        assert ended == []
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert sorted(ended) == ["init", "run"]


def test_an_init_waits_for_the_runs_before_it_and_runs_are_at_once() -> None:
    runs = RunsAtOnce()
    initialised = threading.Event()

    def init() -> None:
        with runs.init():
            initialised.set()

    with runs.run(), runs.run():
        thread = threading.Thread(target=init)
        thread.start()
        assert not initialised.wait(0.3)
    assert initialised.wait(PATIENCE_SECONDS)
    thread.join(PATIENCE_SECONDS)


def test_an_interrupt_is_passed_on_once_and_only_where_another_thread_works() -> None:
    work = Work(RunsAtOnce(), waits=True)
    work.runs.pass_interrupt_on()
    assert work.runs.stops() == 0
    seen: list[int] = []
    with work.beside() as beside:
        work.runs.begin()
        assert work.works.wait(PATIENCE_SECONDS)
        work.runs.pass_interrupt_on()
        seen.append(work.runs.stops())
        beside.close()
    assert seen == [1]
    assert work.done == ["begun"]
    work.runs.pass_interrupt_on()
    assert work.runs.stops() == 0
