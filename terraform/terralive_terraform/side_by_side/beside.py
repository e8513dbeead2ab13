"""A context that is entered on another thread, beside the work of this one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from terralive_terraform.side_by_side.runs import RunsAtOnce, StoppedError

_JOIN_SECONDS: Final = 0.1
_T = TypeVar("_T")
_log: Final = logging.getLogger("terralive.terraform")


class Beside(Generic[_T]):
    """A context that is entered on another thread, and left on this one.

    If one thread fails, the runs of the other one are stopped gently, and only the first failure
    is raised. Ctrl-C reaches this thread, which passes it on. Only this thread uses the object.

    Args:
        context: the context. It runs Terraform by way of `runs`.
        runs: the Terraform runs of both threads.
        on_result: called when this thread begins to wait for the result, or raises its error.
    """

    def __init__(
        self,
        context: AbstractContextManager[_T],
        runs: RunsAtOnce,
        on_result: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._runs = runs
        self._on_result = on_result
        # Written by the other thread before it ends, and read after that.
        # What the context has yielded; () while it was not entered.
        self._entered: tuple[_T] | tuple[()] = ()
        # The error that has ended the other thread; None for none.
        self._error: BaseException | None = None
        # Whether the other thread was told to end, or its context was left.
        self._is_closed = False
        self._thread = threading.Thread(target=self._enter, name="terraform-beside")

    def __enter__(self) -> Self:
        """Start the other thread. Its work begins after `RunsAtOnce.begin`."""
        self._runs.share()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, StoppedError) and self._error is not None:
            self._on_result()
            raise self._error from None

    def result(self) -> _T:
        """Wait for what the context yields.

        Raises:
            KeyboardInterrupt: it was passed on to the other thread, which has ended.
            BaseException: whatever the context raises.
        """
        self._on_result()
        self._runs.begin()
        self._join()
        if self._error is not None:
            raise self._error
        if not self._entered:
            # Only `close` stops the other thread without an error.
            raise StoppedError
        return self._entered[0]

    def close(self) -> None:
        """Leave the context. Where the other thread still works, stop it and wait for its end."""
        if self._is_closed:
            return
        self._is_closed = True
        # An interrupt may have been passed on already, and a second one is less gentle.
        if self._thread.is_alive() and not self._runs.stops():
            self._runs.stop()
        try:
            self._join()
        finally:
            self._runs.go_on()
            if self._entered:
                self._context.__exit__(None, None, None)

    def _join(self) -> None:
        """Wait for the end of the other thread, also after an interrupt, which is passed on."""
        interrupt: KeyboardInterrupt | None = None
        while self._thread.is_alive():
            try:
                self._thread.join(_JOIN_SECONDS)
            except KeyboardInterrupt as error:
                interrupt = error
                self._runs.stop()
        if interrupt is not None:
            raise interrupt

    def _enter(self) -> None:
        """Enter the context, on the other thread."""
        try:
            self._runs.wait_begin()
            self._entered = (self._context.__enter__(),)
        except StoppedError:
            _log.debug("stopped beside another run of Terraform")
        except BaseException as error:  # noqa: BLE001  # raised on the thread that waits
            self._error = error
            self._runs.stop()
