"""What the broker needs of DynamoDB and of API Gateway. `aws.py` has both, tests have others."""

from __future__ import annotations

from typing import Protocol

from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import ConnectionIdentity, Lease, Takeover
from terralive_stub.protocol.messages import FallbackCount
from terralive_stub.protocol.token import Api


class Gone(Exception):  # noqa: N818  # API Gateway's name: GoneException, HTTP 410
    """The connection does not exist any more."""


class Conflict(Exception):  # noqa: N818  # DynamoDB's ConditionalCheckFailedException
    """Another broker has changed the lease meanwhile."""


class Table(Protocol):
    """The table of connections and the lease."""

    def put_identity(self, identity: ConnectionIdentity) -> None: ...
    def get_identity(self, connection: str) -> ConnectionIdentity | None: ...
    def delete_identity(self, connection: str) -> None: ...
    def get_lease(self) -> Lease | None: ...
    def put_lease(self, lease: Lease, *, replaces: int) -> None:
        """Write the lease if the stored one has the version `replaces`; 0 means that there is none.

        Raises:
            Conflict: the stored lease has another version.
        """

    def put_takeover(self, takeover: Takeover) -> None:
        """Keep a trace of a takeover for 30 days."""

    def get_replaced(self, function: str) -> Replaced | None: ...
    def count_fallback(self, function: str, *, ok: bool, now_ms: int) -> None:
        """Count one invocation that a function's fallback has answered."""

    def take_fallback_counts(self) -> list[FallbackCount]:
        """Return what was counted since the last call, and begin anew."""


class Gateway(Protocol):
    """API Gateway's management API (`@connections`)."""

    def post(self, api: Api, connection: str, text: str) -> None:
        """Send a message.

        Raises:
            Gone: the connection does not exist.
        """

    def close(self, api: Api, connection: str) -> None:
        """Close a connection; do nothing if it does not exist."""
