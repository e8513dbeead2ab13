"""The sandbox's addresses and the file that holds them."""

from __future__ import annotations

import pytest

from terralive_sandbox.info import SandboxInfo, local_url

INFO = SandboxInfo(
    "http://127.0.0.1:1",
    "us-east-1",
    1,
    "http://127.0.0.1:1/_sandbox/http/{api}/{stage}",
    "ws://127.0.0.1:1/_sandbox/websocket/{api}/{stage}",
    "http://127.0.0.1:1/m/{api}/{stage}",
    "k",
    "s",
    "1",
    "i",
)


def test_public_addresses_map_to_loopback_and_others_stay() -> None:
    host = "abc.execute-api.us-east-1.amazonaws.com"
    assert (
        local_url(INFO, f"wss://{host}/relay?x=1")
        == "ws://127.0.0.1:1/_sandbox/websocket/abc/relay?x=1"
    )
    assert local_url(INFO, f"https://{host}") == "http://127.0.0.1:1/_sandbox/http/abc/~"
    assert (
        local_url(INFO, f"https://{host}/a/b?c") == "http://127.0.0.1:1/_sandbox/http/abc/~/a/b?c"
    )
    assert local_url(INFO, "https://example.com/a") == "https://example.com/a"


def test_the_info_survives_its_file_and_hides_its_secret() -> None:
    assert SandboxInfo.from_json(INFO.to_json()) == INFO
    assert "secret_access_key" not in repr(INFO)
    for broken in ("", "[]", "{}", "nonsense"):
        with pytest.raises(ValueError):  # noqa: PT011 - any malformed text
            SandboxInfo.from_json(broken)
