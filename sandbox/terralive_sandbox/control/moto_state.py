"""Look up moto's state of a place. Any thread may do so, because nothing is created.

`backends[account][region]` creates the state of a place that has none yet, which only the thread
that owns moto's state may do. It also raises KeyError for a region that does not exist.
"""

from __future__ import annotations

from typing import TypeVar

from moto.core.base_backend import BackendDict, BaseBackend

from terralive_sandbox.places import Place

B = TypeVar("B", bound=BaseBackend)


def backend_of(backends: BackendDict[B], place: Place) -> B | None:
    """Return a service's state in a place; None if nothing has been created there.

    Args:
        backends: moto's state of the service.
        place: the account and region. moto's region for IAM and S3 is `aws`.
    """
    regions = backends.get(place.account)
    if regions is None:
        return None
    return regions.get(place.region)
