"""The end of a start: what is asked, what an answer means, and what the user is told."""

from __future__ import annotations

import gc
import os
import signal
import threading

import pytest

from terralive_cli.configuration.values import OnExit
from terralive_cli.live.leaving import (
    Kept,
    Leave,
    all_replaced_message,
    answered,
    decide,
    explanation,
    last_message,
    question,
)
from terralive_cli.output.interrupts import Interrupts, as_keyboard_interrupt, ended_after
from terralive_testing.machine.waiting import eventually


@pytest.mark.parametrize(
    ("on_exit", "number", "can_ask", "expected"),
    [
        (None, signal.SIGINT, True, Leave.ASK),
        (None, signal.SIGINT, False, Leave.KEEP),
        (None, signal.SIGTERM, True, Leave.KEEP),
        (None, signal.SIGHUP, True, Leave.KEEP),
        (OnExit.KEEP, signal.SIGINT, True, Leave.KEEP),
        (OnExit.RESTORE, signal.SIGINT, True, Leave.RESTORE),
        (OnExit.RESTORE, signal.SIGTERM, False, Leave.RESTORE),
    ],
)
def test_only_a_person_is_asked_and_only_without_the_setting(
    on_exit: OnExit | None,
    number: signal.Signals,
    can_ask: bool,  # a case
    expected: Leave,
) -> None:
    assert decide(on_exit, number, can_ask=can_ask) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Leave.RESTORE),
        ("R", Leave.RESTORE),
        ("restore", Leave.RESTORE),
        ("k", Leave.KEEP),
        ("Keep", Leave.KEEP),
        (None, Leave.KEEP),
        ("what?", Leave.ASK),
    ],
)
def test_enter_restores_and_an_answer_that_means_nothing_asks_again(
    text: str | None, expected: Leave
) -> None:
    assert answered(text) is expected


def test_the_question_says_how_long_a_restore_takes_and_what_keeping_means() -> None:
    asked = "Restore 2 functions now (about 20 s)? [R]estore / [k]eep the stubs:"
    assert question(Kept(2)) == asked
    assert "their invocations fail until somebody connects" in explanation(Kept(2))
    assert "the deployed code answers their invocations" in explanation(Kept(2, 2))
    some = explanation(Kept(3, 1))
    assert "the deployed code answers the invocations of 1 of them" in some
    assert "those of the other 2 fail" in some


def test_the_end_says_what_stays_and_what_to_type() -> None:
    kept = last_message("dev-ana", "--stage dev-ana", Kept(3))
    assert kept.startswith("3 functions of stage dev-ana keep their stub:")
    assert "`terralive start --stage dev-ana` connects again" in kept
    assert "`terralive restore --stage dev-ana` puts back the functions' own code" in kept
    none = all_replaced_message("dev-ana", "--stage dev-ana")
    assert none.startswith("No function of stage dev-ana has its stub any more")
    one = last_message("dev-ana", "--stage dev-ana", Kept(1))
    assert one.startswith("1 function of stage dev-ana keeps its stub:")
    part = last_message("dev-ana", "--stage dev-ana", Kept(3), is_partial=True)
    assert "`terralive restore --stage dev-ana` does the rest" in part


def test_while_a_start_waits_a_signal_is_queued_and_raises_nothing() -> None:
    with as_keyboard_interrupt():
        with Interrupts() as interrupts:
            assert interrupts.wait(0) is None
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                assert interrupts.wait(60) == number
            # Terraform, which applies a saved change meanwhile, is interrupted.
            with pytest.raises(KeyboardInterrupt), interrupts.raised():
                _interrupted_at_once()
            assert interrupts.last == signal.SIGINT
            assert interrupts.wait(0) is None
        # The next one is raised again.
        with pytest.raises(KeyboardInterrupt):
            _interrupted_at_once()


def _interrupted_at_once(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)
    threading.Event().wait(60)


def _close_terminal() -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    # Python runs the signal's handler before the next instructions.
    sum(range(1000))


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_is_closed_after_an_interrupt_is_no_second_one(
    first: signal.Signals,
) -> None:
    with as_keyboard_interrupt():
        with pytest.raises(KeyboardInterrupt):
            _interrupted_at_once(first)
        _close_terminal()
        # A second Ctrl-C is one.
        with pytest.raises(KeyboardInterrupt):
            _interrupted_at_once()


def test_a_terminal_that_is_closed_while_a_start_ends_does_not_hurry_it() -> None:
    with as_keyboard_interrupt():
        with Interrupts() as interrupts:
            _close_terminal()
            _close_terminal()
            assert interrupts.wait(60) == signal.SIGHUP
            assert interrupts.wait(0) is None
            with interrupts.raised():
                _close_terminal()
        _close_terminal()
        with pytest.raises(KeyboardInterrupt):
            _interrupted_at_once()


def test_a_saved_change_that_is_applied_is_interrupted_once_by_a_closed_terminal() -> None:
    with as_keyboard_interrupt(), Interrupts() as interrupts, interrupts.raised():
        with pytest.raises(KeyboardInterrupt):
            _interrupted_at_once(signal.SIGHUP)
        _close_terminal()
    assert interrupts.last == signal.SIGHUP


class _Finalized:
    """Its finalizer is interrupted."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        # Python runs the signal's handler before the next instructions.
        sum(range(1000))


def test_ctrl_c_in_a_finalizer_is_not_lost() -> None:
    def leave_garbage() -> None:
        _Finalized()
        gc.collect()
        threading.Event().wait(60)

    with as_keyboard_interrupt(), pytest.raises(KeyboardInterrupt):
        leave_garbage()


def test_what_takes_too_long_is_interrupted() -> None:
    done = threading.Event()
    with as_keyboard_interrupt(), pytest.raises(KeyboardInterrupt), ended_after(0.01):
        done.wait(60)
    with as_keyboard_interrupt(), ended_after(60):
        done.set()
    eventually(done.is_set, "the end")
