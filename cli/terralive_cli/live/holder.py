"""The user who holds a stage, by the lease in its table. Pure.

The broker makes the final decision when a relay connects.
"""

from __future__ import annotations

import socket

from terralive_cli.configuration.values import Config
from terralive_relay.stage_errors import held_by
from terralive_stub.broker.leases import Lease, LeaseState


def held(lease: Lease | None, now_ms: int) -> Lease | None:
    """Return the lease of the relay that is connected; None where none is.

    Args:
        lease: the lease in the table.
        now_ms: milliseconds since the Unix epoch.
    """
    if lease is None or lease.state is not LeaseState.HELD or not lease.live(now_ms):
        return None
    return lease


def is_of_another(config: Config, lease: Lease | None) -> bool:
    """Tell whether another user, or another machine, is connected."""
    if lease is None:
        return False
    return (lease.owner, lease.machine) != (config.user, socket.gethostname())


def require_mine(config: Config, lease: Lease | None) -> None:
    """Check that no other user is connected, before anything of theirs is changed.

    Raises:
        StageHeldError: another user is connected.
    """
    if lease is not None and is_of_another(config, lease):
        raise held_by(config.stage, lease.owner, lease.machine, lease.since_ms)
