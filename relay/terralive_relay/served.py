"""The functions that a relay serves: their pools, and the watcher and builds of their code.

They may change while the relay runs. If a function stays the same, its pool stays. If it has
changed, its pool hands the waiting invocations to the next pool, and finishes those that run.

Only the thread that owns the relay uses it. The session's thread uses the pools alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from terralive_relay.code.reload import CodeReload
from terralive_relay.events import Sink
from terralive_relay.pool.pool import Pool
from terralive_relay.threads import ThreadFailed
from terralive_stub.errors import TerraliveError
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi


class ServedFunctions:
    """The functions of a relay.

    Args:
        functions: the functions at first.
        api: the Runtime API of their workers.
        sink: takes events about their code; must not block.
        output: takes events of their workers; must not block.
        failed: takes an exception that has ended a thread.

    Raises:
        ConfigurationError: a function's runtime cannot run here.
    """

    def __init__(
        self,
        functions: Sequence[LocalFunction],
        api: RuntimeApi,
        sink: Sink,
        output: Sink,
        failed: ThreadFailed,
    ) -> None:
        self._api = api
        self._sink = sink
        self._output = output
        self._failed = failed
        # The present functions' pools, by ARN.
        self._pools: dict[str, Pool] = {}
        # Pools that others have replaced. Invocations may still run there.
        self._replaced: list[Pool] = []
        # The watcher and builds of the present functions; None only before the first `_take`.
        self._code: CodeReload | None = None
        self._take(functions)

    @property
    def functions(self) -> tuple[LocalFunction, ...]:
        """The functions that are served."""
        return tuple(pool.function for pool in self._pools.values())

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The present functions' pools, by ARN. A change makes another mapping."""
        return MappingProxyType(self._pools)

    def start(self) -> None:
        """Begin to watch and to build the code; both go on in the background."""
        if self._code is not None:
            self._code.start()

    def wait_ready(self) -> None:
        """Wait until changes of the code are seen, or until it takes too long."""
        if self._code is not None:
            self._code.wait_ready()

    def change(self, functions: Sequence[LocalFunction]) -> None:
        """Watch and build other functions from now on.

        Invocations may be handed to the earlier pools until `finish_replaced` is called.

        Raises:
            ConfigurationError: a function's runtime cannot run here. Nothing has changed then.
        """
        before, code = self._pools, self._code
        self._take(functions)
        if code is not None:
            code.close()
        self.start()
        self.wait_ready()
        for arn, pool in before.items():
            if self._pools.get(arn) is not pool:
                self._replaced.append(pool)
            elif pool.function.build is None:
                # No watcher may have seen an edit of the last moment.
                pool.mark_stale()

    def finish_replaced(self) -> None:
        """Let the replaced pools end their workers as soon as they have nothing to do."""
        for pool in self._replaced:
            pool.finish(self._pools.get(pool.function.arn))

    def close(self) -> None:
        """End the watcher, builds and workers. Invocations that run get a named error."""
        if self._code is not None:
            self._code.close()
        for pool in (*self._pools.values(), *self._replaced):
            pool.close()

    def _take(self, functions: Sequence[LocalFunction]) -> None:
        """Make what these functions need beside the present ones; it is not started."""
        pools: dict[str, Pool] = {}
        made: list[Pool] = []
        try:
            for function in functions:
                pool = self._pools.get(function.arn)
                if pool is None or pool.function != function:
                    pool = Pool(function, self._api, self._output, failed=self._failed)
                    made.append(pool)
                pools[function.arn] = pool
            self._code = CodeReload(functions, pools, self._api.guardian, self._sink, self._failed)
        except TerraliveError:
            for pool in made:
                pool.close()
            raise
        self._pools = pools
