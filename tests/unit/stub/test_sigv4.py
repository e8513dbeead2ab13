"""Our signature of a WebSocket upgrade equals botocore's."""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from terralive_stub.shared.sigv4 import SERVICE, Credentials, sign_upgrade

_WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
_SEGMENT = _WORD.map(lambda word: quote(word, safe="")).filter(lambda word: set(word) != {"."})
_KEY = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


class _AtTime(SigV4Auth):
    """botocore reads the clock in `add_auth`; its parts can be called with a time of our own."""

    def authorization(self, request: AWSRequest, stamp: str) -> str:
        request.context["timestamp"] = stamp
        self._modify_request_before_signing(request)  # type: ignore[attr-defined]  # not in the stubs
        to_sign = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(to_sign, request))  # type: ignore[attr-defined]  # not in the stubs
        return str(request.headers["Authorization"])


@settings(max_examples=200, deadline=None)
@given(
    host=st.from_regex(
        r"[a-z0-9]{4,10}\.execute-api\.[a-z]{2}\.amazonaws\.com|127\.0\.0\.1|\[::1\]",
        fullmatch=True,
    ),
    port=st.none() | st.integers(1024, 65535) | st.sampled_from([80, 443]),
    scheme=st.sampled_from(["ws", "wss"]),
    path=st.lists(_SEGMENT, max_size=3),
    query=st.lists(st.tuples(_SEGMENT, _SEGMENT), max_size=4),
    region=st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1"]),
    access_key=_KEY,
    secret=_KEY,
    token=st.just("") | _KEY,
    now=st.integers(1_000_000_000, 4_000_000_000),
)
def test_a_signature_equals_botocores(
    *,
    host: str,
    port: int | None,
    scheme: str,
    path: list[str],
    query: list[tuple[str, str]],
    region: str,
    access_key: str,
    secret: str,
    token: str,
    now: int,
) -> None:
    rest = f"{host}{f':{port}' if port else ''}/{'/'.join(path)}"
    rest += "?" + "&".join(f"{key}={value}" for key, value in query) if query else ""
    ours = sign_upgrade(f"{scheme}://{rest}", region, Credentials(access_key, secret, token), now)
    stamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    request = AWSRequest("GET", f"{scheme.replace('ws', 'http')}://{rest}")
    signer = _AtTime(BotocoreCredentials(access_key, secret, token or None), SERVICE, region)
    assert ours["Authorization"] == signer.authorization(request, stamp)
    assert ours.get("X-Amz-Security-Token", "") == token
    assert ours["X-Amz-Date"] == stamp


def test_no_secret_stands_in_a_repr() -> None:
    text = repr(Credentials("AKID", "very-secret", "token-secret"))
    assert "AKID" in text
    assert "secret'" not in text
