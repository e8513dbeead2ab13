"""The relay of a `start`, which serves functions while Terraform still runs.

Terraform itself may invoke a live function (`aws_lambda_invocation`, as a data source or as a
resource), and its run fails where nobody answers. So the relay connects as soon as functions are
known:

    1. before the app is evaluated, with the functions of the last session (`last_session`),
    2. before the app is applied, also with those of the plan,
    3. after that, with the functions that are live.

A failure in the first step does not end the start, except if another user holds the stage. The
second step comes before any function is replaced, and a relay that cannot connect ends the start
there: nobody would answer the stubs.
"""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from terralive_cli.deploy import record
from terralive_cli.deploy.debug_stack import NO_SECRET, DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.live import last_session
from terralive_cli.network.trust import relay_trust
from terralive_relay.events import Sink
from terralive_relay.relay import Relay, Taken
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_stub.errors import ConfigurationError, StageHeldError, TerraliveError
from terralive_workers.function import LocalFunction

_CONNECT_SECONDS: Final = 60.0
_EARLY_SECONDS: Final = 15.0
_UNCHANGED: Final = "The relay connects before functions are changed, so none was changed."
_log: Final = logging.getLogger("terralive.cli")


class ServingRelay(Protocol):
    """A relay, as far as this module uses it; see `terralive_relay.relay.Relay`."""

    def start(self) -> None: ...
    def wait_connected(self, timeout_s: float) -> None: ...
    def serve(self, functions: Sequence[LocalFunction], timeout_s: float) -> None: ...
    def wait(self, timeout_s: float | None = None) -> bool: ...
    def restart_workers(self) -> None: ...
    @property
    def waiting(self) -> int: ...
    def stop(self) -> None: ...


class MakeRelay(Protocol):
    """Makes a relay for a debug stack, which is not started.

    Raises:
        ConfigurationError: a function's runtime cannot run here.
    """

    def __call__(
        self, outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]
    ) -> ServingRelay: ...


class StageRelay:
    """The relay of a stage. One thread uses it.

    Args:
        work: the stage's work folder.
        make: makes a relay.
    """

    def __init__(self, work: Path, make: MakeRelay) -> None:
        self._work = work
        self._make = make
        # The relay; None before the first functions are known.
        self._relay: ServingRelay | None = None
        # The URL and the secret of the debug stack that it connects to.
        self._address = ("", b"")
        # The functions that it serves.
        self._functions: tuple[LocalFunction, ...] = ()
        # Whether it has served an app that is live: from then on it is kept.
        self._is_kept = False

    @classmethod
    def of(
        cls,
        stage: Stage,
        publish: Sink,
        *,
        takeover: bool,
        taken: Taken | None = None,
    ) -> Self:
        """Return the relay of a stage.

        Args:
            stage: the stage.
            publish: takes the relay's events; must not block.
            takeover: take the stage from another user.
            taken: takes every invocation that a handler gets; must not block.
        """

        def make(outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]) -> Relay:
            settings = _settings(stage, outputs, functions, takeover=takeover)
            return Relay(settings, stage.target.caller.credentials, publish, taken=taken)

        return cls(stage.target.work, make)

    def resume(self, outputs: DebugStackOutputs) -> None:
        """Serve the functions of the last session, where this machine knows them.

        Raises:
            StageHeldError: another relay holds the stage.
        """
        if outputs.secret == NO_SECRET:
            return
        file = record.session(self._work)
        self._serve_early(outputs, last_session.read(file, outputs.relay_url))

    def serve_planned(
        self, outputs: DebugStackOutputs, expected: tuple[LocalFunction, ...]
    ) -> None:
        """Connect before functions are replaced, and serve those of the plan that are known, too.

        A relay that has served a live app stays as it is where this fails.

        Raises:
            StageHeldError: another relay holds the stage.
            ConfigurationError: a function of the plan cannot run here.
            TerraliveError: the relay cannot connect; see `Relay.wait_connected`.
        """
        functions = {function.arn: function for function in self._functions}
        functions.update({function.arn: function for function in expected})
        try:
            self._serve(outputs, tuple(functions.values()), _CONNECT_SECONDS)
        except TerraliveError as error:
            if not self._is_kept:
                self.stop()
            error.hint = f"{error.hint} {_UNCHANGED}".strip()
            raise

    def serve(self, outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]) -> None:
        """Serve the live functions, and wait until the relay is connected.

        Raises:
            StageHeldError: another relay holds the stage, or has taken it over.
            TerraliveError: see `Relay.wait_connected`.
        """
        self._serve(outputs, functions, _CONNECT_SECONDS)
        self._is_kept = True

    @property
    def is_running(self) -> bool:
        """Tell whether there is a relay."""
        return self._relay is not None

    @property
    def waiting(self) -> int:
        """The number of invocations that no worker has taken yet."""
        if self._relay is None:
            return 0
        return self._relay.waiting

    def restart_workers(self) -> None:
        """Have new workers run the invocations from now on."""
        if self._relay is not None:
            self._relay.restart_workers()

    def wait(self, seconds: float) -> bool:
        """Wait until the relay stops by itself; return True if it has.

        Raises:
            StageHeldError: another user has taken the stage over.
        """
        return self._relay is not None and self._relay.wait(seconds)

    def stop(self) -> None:
        """Give the stage back. Invocations that run end with a named error."""
        relay, self._relay = self._relay, None
        self._functions = ()
        if relay is not None:
            relay.stop()

    def _serve_early(
        self, outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]
    ) -> None:
        if not functions:
            return
        try:
            self._serve(outputs, functions, _EARLY_SECONDS)
        except StageHeldError:
            raise
        except ConfigurationError as error:
            # The functions that are served already stay served.
            _log.debug("some functions cannot be served yet: %s", error.message)
        except TerraliveError as error:
            _log.debug("nothing more is served yet: %s", error.message)
            if not self._is_kept:
                self.stop()

    def _serve(
        self,
        outputs: DebugStackOutputs,
        functions: tuple[LocalFunction, ...],
        timeout_s: float,
    ) -> None:
        """Connect with these functions, or go over to them."""
        address = (outputs.relay_url, outputs.secret)
        if self._relay is not None and address != self._address:
            # The debug stack has another address.
            self.stop()
        if self._relay is not None:
            self._relay.serve(functions, timeout_s)
        else:
            relay = self._make(outputs, functions)
            self._relay = relay
            self._address = address
            relay.start()
            relay.wait_connected(timeout_s)
        self._functions = functions


def _settings(
    stage: Stage,
    outputs: DebugStackOutputs,
    functions: Sequence[LocalFunction],
    *,
    takeover: bool,
) -> RelaySettings:
    config = stage.config
    identity = RelayIdentity(
        relay=uuid.uuid4().hex,
        functions=tuple(function.arn for function in functions),
        owner=config.user,
        machine=socket.gethostname(),
        takeover=takeover,
    )
    return RelaySettings(
        outputs.relay_url,
        stage.target.region,
        config.stage,
        identity,
        tuple(functions),
        stage.target.caller.arn,
        outputs.secret,
        record.journal(stage.target.work),
        config.forward_logs,
        tls=relay_trust(outputs.relay_url),
        clock_offset_s=stage.target.caller.clock_offset_s,
    )
