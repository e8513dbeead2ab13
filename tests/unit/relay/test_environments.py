"""A handler gets the environment of its own stub, which travels when it is new to the relay."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace

import pytest

from terralive_relay.session.effects import Effect, Run, Send
from terralive_relay.session.environments import (
    MOST_BYTES,
    OVERHEAD_BYTES,
    VARIABLE_OVERHEAD_BYTES,
    Environments,
)
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.session.session import RelaySession
from terralive_stub.protocol.chunks import split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import (
    Ack,
    EnvironmentMissing,
    Kind,
    Message,
    ProtocolError,
    Welcome,
)
from terralive_stub.protocol.payloads import digest_environment, pack_invocation

KEY = bytes(32)
FIRST = {"AWS_SECRET_ACCESS_KEY": "first", "STAGE": "dev"}
SECOND = {"AWS_SECRET_ACCESS_KEY": "second", "STAGE": "dev"}


def connected() -> RelaySession:
    session = RelaySession(RelayIdentity("life", ("fn", "other"), "ana", "laptop"))
    session.leasing.opened(1, 0.0)
    session.received(1, Welcome("life", 60_000, 20_000), 0.1, 0)
    return session


def invocation(request_id: str, environment: Mapping[str, str], function: str = "fn") -> Invocation:
    digest = digest_environment(environment, KEY)
    return Invocation(
        request_id,
        function,
        function,
        Deadline(30.0),
        b"{}",
        environment,
        environment_digest=digest,
    )


def send(
    session: RelaySession, call: Invocation, *, with_environment: bool
) -> tuple[list[Message], list[Invocation]]:
    """Send an invocation. Return the relay's messages, and what it runs."""
    payload = pack_invocation(call, now=0.0, with_environment=with_environment)
    effects: list[Effect] = []
    for chunk in split(
        Kind.INVOKE,
        call.request_id,
        call.function,
        payload,
        peer="c1",
        attempt=f"a{call.request_id}",
    ):
        effects += session.received(1, chunk, 1.0, 0)
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    return sent, [effect.invocation for effect in effects if isinstance(effect, Run)]


def test_an_environment_that_came_once_is_that_of_later_invocations() -> None:
    session = connected()
    send(session, invocation("r1", FIRST), with_environment=True)
    send(session, invocation("r2", SECOND), with_environment=True)
    sent, (first,) = send(session, invocation("r3", FIRST), with_environment=False)
    assert sent == [Ack("r3", "fn", "c1", "ar3")]
    assert first.environment == FIRST
    _, (second,) = send(session, invocation("r4", SECOND), with_environment=False)
    assert second.environment == SECOND


def test_a_relay_that_was_restarted_asks_for_the_environment_and_then_runs_the_handler_once() -> (
    None
):
    session = connected()
    call = invocation("r1", FIRST)
    sent, ran = send(session, call, with_environment=False)
    assert sent == [EnvironmentMissing("r1", "fn", "c1", "ar1")]
    assert ran == []
    sent, (run,) = send(session, call, with_environment=True)
    assert sent == [Ack("r1", "fn", "c1", "ar1")]
    assert run.environment == FIRST
    sent, ran = send(session, call, with_environment=False)
    assert (sent, ran) == ([Ack("r1", "fn", "c1", "ar1")], [])


def test_a_stub_cannot_name_another_functions_environment() -> None:
    session = connected()
    send(session, invocation("r1", FIRST), with_environment=True)
    sent, ran = send(session, invocation("r2", FIRST, "other"), with_environment=False)
    assert sent == [EnvironmentMissing("r2", "other", "c1", "ar2")]
    assert ran == []


def test_environments_are_bounded_and_the_last_used_ones_stay() -> None:
    size = 1000 + VARIABLE_OVERHEAD_BYTES + OVERHEAD_BYTES
    environments = Environments(keep_bytes=3 * size)
    calls = [invocation(f"r{number}", {"A": f"{number:0999}"}) for number in range(4)]
    for call in calls[:3]:
        environments.keep(call)
    assert environments.get("fn", calls[0].environment_digest) is not None
    environments.keep(calls[3])
    kept = [environments.get("fn", call.environment_digest) is not None for call in calls]
    assert kept == [True, False, True, True]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {f"{number:x}": "" for number in range(100)},
        {f"VARIABLE_{number}": "value of a usual length" for number in range(40)},
    ],
)
def test_thousands_of_environments_take_no_more_memory_than_the_bound(
    variables: dict[str, str],
) -> None:
    """Every name, value and digest is a text of its own, as messages bring them."""
    environments = Environments(keep_bytes=256 * 1024)
    tracemalloc.start()
    try:
        for number in range(2000):
            own = {f"{name}_{number}": value + str(number) for name, value in variables.items()}
            digest = f"{number:064x}"
            call = Invocation(f"r{number}", "fn", "fn", Deadline(1.0), b"", own, "", "", "", digest)
            environments.keep(call)
        del own, call
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.5 * environments.keep_bytes
    assert environments.get("fn", f"{1999:064x}") is not None


@pytest.mark.parametrize("digest", ["x", "A" * 64, "0" * 65, "0" * 1_000_000, "0" * 63 + "\n"])
def test_a_digest_of_another_form_is_refused_so_that_it_takes_no_memory(digest: str) -> None:
    call = replace(invocation("r1", FIRST), environment_digest=digest)
    with pytest.raises(ProtocolError, match="environment_digest"):
        send(connected(), call, with_environment=True)


def test_an_environment_that_no_function_of_lambda_can_have_is_not_kept() -> None:
    environments = Environments()
    call = invocation("r1", {"A": "x" * MOST_BYTES})
    environments.keep(call)
    assert environments.get("fn", call.environment_digest) is None


def test_an_environment_without_a_digest_is_not_kept() -> None:
    environments = Environments()
    environments.keep(Invocation("r1", "fn", "fn", Deadline(1.0), b"{}", FIRST))
    assert environments.get("fn", "") is None


def test_what_is_kept_shows_in_no_text() -> None:
    environments = Environments()
    environments.keep(invocation("r1", FIRST))
    assert "first" not in repr(environments)


@pytest.mark.parametrize("other", [SECOND, {}, {"STAGE": "dev"}, {**FIRST, "MORE": ""}])
def test_digests_differ_for_other_variables_and_for_other_keys(other: dict[str, str]) -> None:
    digest = digest_environment(FIRST, KEY)
    assert digest != digest_environment(other, KEY)
    assert digest != digest_environment(FIRST, bytes(31) + b"\x01")
    assert digest == digest_environment(dict(reversed(FIRST.items())), KEY)
