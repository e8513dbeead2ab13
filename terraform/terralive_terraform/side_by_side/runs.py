"""The rules for Terraform runs at once: an init runs alone, and all of them can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.1


class StoppedError(Exception):
    """A run has not begun, or has ended early, because of something on another thread."""


class RunsAtOnce:
    """The Terraform runs of one command. Any thread may use it.

    A plugin cache is not safe for an init beside another one, and an init may install a provider
    again that a plan runs just then. So nothing runs beside an init:
    https://developer.hashicorp.com/terraform/cli/config/config-file#provider-plugin-cache
    """

    def __init__(self) -> None:
        # Guards everything below, and tells of its changes.
        self._changed = threading.Condition()
        # How many runs there are, without an init.
        self._running = 0
        # Whether an init runs.
        self._is_initialising = False
        # How often the runs were asked to end.
        self._stops = 0
        # Whether there is work on another thread, and whether it may begin.
        self._is_shared = False
        self._has_begun = False

    @contextmanager
    def run(self) -> Iterator[None]:
        """Hold a context in which Terraform runs, but for an init.

        Raises:
            StoppedError: the runs are asked to end.
        """
        with self._changed:
            self._wait_while(lambda: self._is_initialising)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def init(self) -> Iterator[None]:
        """Hold a context in which an init runs, and nothing else.

        Raises:
            StoppedError: the runs are asked to end.
        """
        with self._changed:
            self._wait_while(lambda: self._is_initialising or self._running > 0)
            self._is_initialising = True
        try:
            yield
        finally:
            with self._changed:
                self._is_initialising = False
                self._changed.notify_all()

    def share(self) -> None:
        """Note that another thread runs Terraform, too, until `go_on`."""
        with self._changed:
            self._is_shared = True

    def begin(self) -> None:
        """Let the work of the other thread begin: this one has made its init."""
        with self._changed:
            self._has_begun = True
            self._changed.notify_all()

    def wait_begin(self) -> None:
        """Wait until the work of the other thread may begin.

        Raises:
            StoppedError: the runs are asked to end.
        """
        with self._changed:
            self._wait_while(lambda: not self._has_begun)

    def stop(self) -> None:
        """Ask all runs to end; see `runs.process` for what a second and a third time mean."""
        with self._changed:
            self._stops += 1
            self._changed.notify_all()

    def pass_interrupt_on(self) -> None:
        """Interrupt the runs of another thread as well, where there is one."""
        with self._changed:
            if self._is_shared:
                self._stops += 1
                self._changed.notify_all()

    def stops(self) -> int:
        """Return how often the runs were asked to end."""
        with self._changed:
            return self._stops

    def require_going_on(self) -> None:
        """Check that nobody has asked the runs to end.

        Raises:
            StoppedError: somebody has.
        """
        if self.stops():
            raise StoppedError

    def go_on(self) -> None:
        """Let later runs begin again: the other thread has ended."""
        with self._changed:
            self._stops = 0
            self._is_shared = self._has_begun = False

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        """Wait while something is true. The lock is held before and after it."""
        while self._stops == 0 and condition():
            # A wait without an end would keep Ctrl-C out on some systems.
            self._changed.wait(_LOOK_SECONDS)
        if self._stops:
            raise StoppedError
