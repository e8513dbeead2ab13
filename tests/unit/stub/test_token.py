"""Tokens: what opens a connection, and the named reason for which everything else does not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from terralive_stub.protocol.token import (
    CLOCK_DIFFERENCE_SECONDS,
    NONCE_BYTES,
    NONCE_SECONDS,
    SECRET_BYTES,
    Api,
    Token,
    TokenProblem,
    check_token,
    function_key,
    make_token,
    signing_key,
)

SECRET = bytes(range(SECRET_BYTES))
NONCE = bytes(NONCE_BYTES)
NOW = 1_767_258_000.0
FN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
OTHER = "arn:aws:lambda:eu-west-1:123456789012:function:orders-2"
ANA = "arn:aws:sts::123456789012:assumed-role/Developer/ana@example.com"
SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
SUBJECTS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=300)
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)


def stub_token(arn: str = FN, *, now: float = NOW, secret: bytes = SECRET) -> str:
    return make_token(Api.STUB, arn, function_key(secret, arn), now=now, nonce=NONCE)


@given(SECRETS, st.sampled_from(Api), SUBJECTS, NONCES, st.integers(0, 2**33))
def test_a_token_of_this_stage_tells_who_sent_it(
    secret: bytes, api: Api, subject: str, nonce: bytes, now: int
) -> None:
    key = signing_key(secret, api, subject)
    token = make_token(api, subject, key, now=now + 0.9, nonce=nonce)
    assert check_token(token, api, secret, now=now) == Token(api, subject, now, nonce.hex())
    assert token.isascii()
    assert " " not in token


@given(SECRETS, SECRETS, SUBJECTS)
def test_another_stages_secret_opens_nothing(one: bytes, other: bytes, subject: str) -> None:
    token = stub_token(subject, secret=one)
    expected = TokenProblem.WRONG_SIGNATURE
    if one == other:
        return
    assert check_token(token, Api.STUB, other, now=NOW) is expected


@given(SUBJECTS, SUBJECTS)
@example(FN, OTHER)
def test_the_key_of_one_function_opens_nothing_for_another(mine: str, other: str) -> None:
    key = function_key(SECRET, mine)
    token = make_token(Api.STUB, other, key, now=NOW, nonce=NONCE)
    if mine == other:
        return
    assert check_token(token, Api.STUB, SECRET, now=NOW) is TokenProblem.WRONG_SIGNATURE


def test_the_key_of_a_function_is_no_key_of_a_relay() -> None:
    token = make_token(Api.RELAY, FN, function_key(SECRET, FN), now=NOW, nonce=NONCE)
    assert check_token(token, Api.RELAY, SECRET, now=NOW) is TokenProblem.WRONG_SIGNATURE


@pytest.mark.parametrize("api", Api)
def test_a_token_for_one_api_does_not_open_the_other(api: Api) -> None:
    token = make_token(api, ANA, signing_key(SECRET, api, ANA), now=NOW, nonce=NONCE)
    (other,) = set(Api) - {api}
    assert check_token(token, other, SECRET, now=NOW) is TokenProblem.WRONG_API


@pytest.mark.parametrize(
    ("late_s", "expected"),
    [
        (CLOCK_DIFFERENCE_SECONDS, None),
        (CLOCK_DIFFERENCE_SECONDS + 1, TokenProblem.TOO_OLD),
        (-CLOCK_DIFFERENCE_SECONDS, None),
        (-CLOCK_DIFFERENCE_SECONDS - 1, TokenProblem.TOO_NEW),
    ],
)
def test_the_senders_clock_may_differ_by_five_minutes(
    late_s: int, expected: TokenProblem | None
) -> None:
    found = check_token(stub_token(), Api.STUB, SECRET, now=NOW + late_s)
    if expected is None:
        assert isinstance(found, Token)
    else:
        assert found is expected


def test_a_nonce_is_kept_for_as_long_as_its_token_can_be_accepted() -> None:
    """The sender's clock is ahead by all that is allowed, and the token is used at once."""
    used_at = NOW - CLOCK_DIFFERENCE_SECONDS
    assert isinstance(check_token(stub_token(), Api.STUB, SECRET, now=used_at), Token)
    forgotten_at = used_at + NONCE_SECONDS + 1
    found = check_token(stub_token(), Api.STUB, SECRET, now=forgotten_at)
    assert found is TokenProblem.TOO_OLD


@given(st.data())
def test_a_token_with_any_part_changed_opens_nothing(data: st.DataObject) -> None:
    parts = stub_token().split(".")
    place = data.draw(st.integers(0, len(parts) - 1))
    changed = data.draw(st.text(max_size=70).filter(lambda text: text != parts[place]))
    parts[place] = changed
    assert isinstance(check_token(".".join(parts), Api.STUB, SECRET, now=NOW), TokenProblem)


@given(st.text(max_size=200))
@example("1.stub.YQ.1.{}.{}".format("0" * 32, "0" * 64))
def test_no_text_makes_the_check_fail(text: str) -> None:
    found = check_token(text, Api.STUB, SECRET, now=NOW)
    assert isinstance(found, TokenProblem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TokenProblem.MISSING),
        ("Bearer x", TokenProblem.MALFORMED),
        (stub_token() + "\n", TokenProblem.MALFORMED),
        (stub_token().replace("1.", "2.", 1), TokenProblem.WRONG_VERSION),
        (stub_token().upper(), TokenProblem.MALFORMED),
        # Bytes that are no ASCII in the place of the subject.
        (
            stub_token().replace(
                base64.urlsafe_b64encode(FN.encode()).decode().rstrip("="), "_____w"
            ),
            TokenProblem.MALFORMED,
        ),
    ],
)
def test_the_reason_of_a_refusal_has_a_name(text: str, expected: TokenProblem) -> None:
    assert check_token(text, Api.STUB, SECRET, now=NOW) is expected


@pytest.mark.parametrize("subject", ["", "two words", "a" * 1025, "é"])
def test_no_token_is_made_for_what_is_no_arn(subject: str) -> None:
    with pytest.raises(ValueError, match="ARN"):
        make_token(Api.STUB, subject, b"key", now=NOW, nonce=NONCE)
