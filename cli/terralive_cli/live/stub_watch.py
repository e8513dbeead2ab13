"""Looks from time to time whether live functions still have this stage's stub.

One thread, `stub-watch`. It waits between two looks, and nothing waits for it: a slow answer of
AWS's delays the next look only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.deploy.target import Stage
from terralive_cli.live.deployed_code import DeployedCodeReader
from terralive_cli.live.stub_check import Look, Stub, StubCheck
from terralive_cli.output.events import Emit

_JOIN_SECONDS: Final = 2.0
_log: Final = logging.getLogger("terralive.cli")


class StubWatch:
    """Emits a warning when a function's stub was replaced, and when it is back.

    Args:
        check: decides.
        look: looks at the deployed functions; it may raise errors of botocore.
        emit: shows the warnings.
        interval_s: seconds between two looks; 0 for none.
    """

    def __init__(
        self,
        check: StubCheck,
        look: Callable[[], Look],
        emit: Emit,
        interval_s: float,
    ) -> None:
        # Used by the thread only.
        self._check = check
        self._look = look
        self._emit = emit
        self._interval_s = interval_s
        self._without_stub: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stub-watch", daemon=True)

    @classmethod
    def of(cls, stage: Stage, emit: Emit, stub: Stub, live: LiveApp) -> Self:
        """Return the watch of a stage's live functions.

        Args:
            stage: the stage.
            emit: shows the warnings.
            stub: the stage's stub.
            live: the app, whose functions are live.
        """
        names = {function.arn: function.shown_name for function in live.functions}
        reader = DeployedCodeReader(partial(live.accounts.client, "lambda"))
        return cls(
            StubCheck(stub, names),
            lambda: reader.read(names),
            emit,
            stage.config.stub_check_seconds,
        )

    def start(self) -> None:
        """Start the thread, unless the interval is 0."""
        if self._interval_s > 0:
            self._thread.start()

    @property
    def without_stub(self) -> frozenset[str]:
        """The ARNs of the functions that had no stub of this stage at the last look."""
        return self._without_stub

    def close(self) -> None:
        """End the thread; one that waits for AWS's answer ends with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        while not self._stop.wait(self._interval_s):
            try:
                warnings = self._check.looked(self._look())
            except (BotoCoreError, ClientError) as error:
                # No network, or expired credentials: the relay says so.
                _log.debug("the stubs could not be looked at: %s", type(error).__name__)
                continue
            # Other threads read it: it is replaced as a whole.
            self._without_stub = self._check.without_stub
            if warnings and not self._stop.is_set():
                self._emit(*warnings)
