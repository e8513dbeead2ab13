"""The settings of a relay."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from terralive_relay.session.leasing import RelayIdentity
from terralive_stub.protocol.token import NONCE_BYTES, Api, make_token, signing_key
from terralive_workers.function import LocalFunction


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The settings of a relay.

    Attributes:
        url: the address of the debug stack's WebSocket API for relays.
        region: the debug stack's region.
        stage: the stage's name, for messages.
        identity: the relay's description of itself.
        functions: the functions that it serves.
        caller_arn: the ARN of the caller, whose credentials sign the connections.
        secret: the stage's secret.
        journal: the file that remembers request ids over restarts; None for none.
        forward_logs: lines that handlers print go to their stubs, too.
        tls: the certificate authorities that the connection trusts; None for the system's.
        clock_offset_s: AWS's clock less this machine's, as far as it is known, in seconds.
    """

    url: str
    region: str
    stage: str
    identity: RelayIdentity
    functions: tuple[LocalFunction, ...]
    caller_arn: str
    secret: bytes = field(repr=False)
    journal: Path | None = None
    forward_logs: bool = False
    tls: ssl.SSLContext | None = None
    clock_offset_s: float = 0.0

    def token(self, now: float) -> str:
        """Return a token for one attempt to connect; `now` is in seconds since the Unix epoch."""
        key = signing_key(self.secret, Api.RELAY, self.caller_arn)
        nonce = os.urandom(NONCE_BYTES)
        return make_token(Api.RELAY, self.caller_arn, key, now=now, nonce=nonce)
