"""Limits of concurrent executions, of one function and of the account.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from terralive_sandbox.functions.invoke_api import throttled

_log = logging.getLogger("terralive.sandbox")


class ConcurrentExecutions:
    """Count the executions that run now. It belongs to the event loop.

    Args:
        account_limit: how many executions the account may have at once.
    """

    def __init__(self, account_limit: int) -> None:
        self._account_limit = account_limit
        # Executions that run now, by function name.
        self._running: Counter[str] = Counter()

    @contextmanager
    def one(self, function_name: str, reserved: int | None) -> Iterator[None]:
        """Count one execution of a function for the duration of the block.

        Args:
            function_name: the function's name, without qualifier.
            reserved: the function's reserved concurrency; None if it has none.

        Raises:
            InvokeError: TooManyRequestsException, because a limit is reached.
        """
        if reserved is not None and self._running[function_name] >= reserved:
            _log.debug("%s is throttled: its reserved concurrency is in use", function_name)
            raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        if self._running.total() >= self._account_limit:
            _log.debug("%s is throttled: the account's concurrency is in use", function_name)
            raise throttled("ConcurrentInvocationLimitExceeded")
        self._running[function_name] += 1
        try:
            yield
        finally:
            self._running[function_name] -= 1
