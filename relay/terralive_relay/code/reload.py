"""The reaction to a change of functions' code: another build, new workers, and a message.

It has no threads of its own: the watcher's thread and the build process's threads call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from terralive_relay.code.build import Built, builds
from terralive_relay.code.syntax import syntax_errors
from terralive_relay.code.watch import Watcher
from terralive_relay.events import Reloaded, Sink, Warned
from terralive_relay.threads import ThreadFailed
from terralive_workers.function import LocalFunction
from terralive_workers.guardian import Guardian

# The time that the watcher has to begin.
_WATCH_SECONDS: Final = 10.0


class Reloadable(Built, Protocol):
    """A pool, as far as a change of its code concerns it."""

    def mark_stale(self) -> bool:
        """Have invocations from now on run by new workers.

        Returns:
            True if the new code is tried before an invocation needs it.
        """
        ...


class CodeReload:
    """Watches and builds the code of all functions, and has their pools use it.

    Args:
        functions: the functions.
        pools: their pools, by the functions' ARNs.
        guardian: kills build processes when this process ends.
        sink: takes events; must not block.
        failed: takes an exception that has ended the watcher's thread.
    """

    def __init__(
        self,
        functions: Sequence[LocalFunction],
        pools: Mapping[str, Reloadable],
        guardian: Guardian,
        sink: Sink,
        failed: ThreadFailed,
    ) -> None:
        # These never change.
        self._pools = pools
        self._sink = sink
        self._builds = builds(
            [(function, pools[function.arn]) for function in functions], guardian, sink
        )
        self._watcher = Watcher(
            functions,
            self._changed,
            trouble=lambda text: sink(Warned("watching-by-polling", text)),
            failed=failed,
        )

    def start(self) -> None:
        """Begin to watch and to build; both go on in the background."""
        self._watcher.start()
        for build in self._builds:
            build.start()

    def wait_ready(self) -> None:
        """Wait until changes are seen, or until it takes too long."""
        self._watcher.wait_ready(_WATCH_SECONDS)

    def close(self) -> None:
        """End the watcher, and the builds that run."""
        self._watcher.close()
        for build in self._builds:
            build.close()

    def _changed(self, function: LocalFunction, paths: tuple[str, ...]) -> None:
        """Have the next invocation run the new code."""
        name = function.shown_name
        for build in self._builds:
            if function.arn in build.functions:
                if build.changed(function.arn, paths):
                    self._sink(Reloaded(name, still_there(function.path, paths)))
                return
        tried_by_worker = self._pools[function.arn].mark_stale()
        self._sink(Reloaded(name, still_there(function.path, paths)))
        if tried_by_worker:
            return
        # No worker loads the code before the next invocation, so nobody else finds these errors.
        for error in syntax_errors(function.path, paths):
            text = f"{error}\nInvocations get this error until the file is corrected."
            self._sink(Warned("code-does-not-load", text, name))


def still_there(folder: Path, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the changed paths that there are: an editor's or `sed`'s temporary file is gone.

    Where nothing is left, files were removed, and all are returned.
    """
    left = tuple(path for path in paths if (folder / path).exists())
    return left or paths
