"""Token buckets, the way API Gateway throttles: pure, the time comes in.

A bucket holds `burst` tokens and gains `rate` of them a second; a request takes one, and finds none
where too many came before it. A limit of 0 refuses everything, as on AWS (what the Terraform
provider sends for a `default_route_settings`
block without limits: https://github.com/hashicorp/terraform-provider-aws/issues/27674).

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """A steady rate in requests a second and the size of the bucket."""

    rate: float
    burst: float


# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html (per account and Region)
ACCOUNT = Limit(10_000, 5_000)


def limit(rate: object, burst: object, otherwise: Limit = ACCOUNT) -> Limit:
    """A configured limit; each half that is unset (None, or REST's -1) is that of `otherwise`."""

    def given(value: object, default: float) -> float:
        number = float(value) if isinstance(value, int | float | str) and value != "" else -1.0
        return default if number < 0 else number

    return Limit(given(rate, otherwise.rate), given(burst, otherwise.burst))


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Throttle:
    """Buckets by key. Belongs to one thread (the event loop's)."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, _Bucket] = {}

    def allows(self, asked: Iterable[tuple[Hashable, Limit]], now: float) -> bool:
        """Take a token of every bucket that `asked` names, or of none when one of them is empty.

        Args:
            asked: each bucket's key and its limit as configured now; a changed limit holds at once.
            now: seconds of any clock that only goes forward.
        """
        buckets = [self._filled(key, limit, now) for key, limit in asked]
        if any(bucket.tokens < 1 for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.tokens -= 1
        return True

    def _filled(self, key: Hashable, limit: Limit, now: float) -> _Bucket:
        size = limit.burst if limit.rate > 0 else 0.0
        bucket = self._buckets.setdefault(key, _Bucket(size, now))
        bucket.tokens = min(size, bucket.tokens + max(0.0, now - bucket.at) * limit.rate)
        bucket.at = now
        return bucket
