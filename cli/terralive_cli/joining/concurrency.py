"""The concurrency of the account: what the broker reserves of it, and a warning where it is low.

Pure. Every invocation of a live function occupies one of the account's concurrent executions for as
long as it runs on a developer's machine, and the broker needs one for every message. With reserved
concurrency, the broker never waits for executions that wait for it. AWS keeps 100 executions that
no function may reserve:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError

# A run takes about 20 ms, so these carry 1,000 messages a second, five times what an API accepts by
# default. More at one moment, as while brokers start, are throttled and sent again.
BROKER_CONCURRENCY: Final = 20
_NEVER_RESERVED: Final = 100
# Below this, a page with a few parallel requests may already occupy a good part of the account.
_LOW: Final = 50


@dataclass(frozen=True, slots=True)
class Concurrency:
    """The concurrency of an account in a region.

    https://docs.aws.amazon.com/lambda/latest/api/API_AccountLimit.html

    Attributes:
        limit: the executions that all functions together may have at a time.
        unreserved: those of them that no function has reserved.
    """

    limit: int
    unreserved: int


def broker_concurrency(
    wish: int | None, account: Concurrency | None, present: int | None, *, exists: bool
) -> int | None:
    """Return the broker's reserved concurrency; None for none.

    Without a wish, a new broker gets a reservation where at least half of the account's concurrency
    remains for all other functions, and an existing broker keeps what it has.

    Args:
        wish: `[debug_stack] broker_concurrency`; 0 for no reservation.
        account: the account; None where it is not known.
        present: the reservation of the existing broker.
        exists: whether there is a broker.

    Raises:
        ConfigurationError: `broker-concurrency`: AWS would refuse it.
    """
    if wish is None and exists:
        return present
    if wish is None:
        if account is None:
            return None
        rest = account.unreserved - BROKER_CONCURRENCY
        if rest < max(_NEVER_RESERVED, account.limit // 2):
            return None
        return BROKER_CONCURRENCY
    if wish == 0:
        return None
    if account is not None:
        most = account.unreserved + (present or 0) - _NEVER_RESERVED
        if wish > most:
            raise ConfigurationError(
                "broker-concurrency",
                f"[debug_stack] broker_concurrency = {wish} is more than the account has left: "
                f"{account.unreserved} of its {account.limit} concurrent executions are not "
                f"reserved, and AWS keeps {_NEVER_RESERVED} of them.",
                hint=f"Use at most {max(most, 0)} (0: no reservation), or ask AWS for a higher "
                "quota.",
            )
    return wish


def low_limit(account: Concurrency | None, region: str) -> Warned | None:
    """Return a warning where live invocations may soon occupy the whole account; else None."""
    if account is None or account.unreserved >= _LOW:
        return None
    return Warned(
        reference="account-concurrency-low",
        message=f"This account runs at most {account.limit} functions at a time in {region}, and "
        f"{account.unreserved} of them are not reserved. Every invocation of a live function "
        "occupies one while it runs here, and the broker needs one for every message. When all "
        "are occupied, invocations time out and AWS throttles all functions of the account. Ask "
        "AWS for a higher quota of concurrent executions (Service Quotas, AWS Lambda).",
    )
