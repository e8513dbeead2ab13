"""Where a running sandbox is: written by the sandbox, read by everybody else. Light imports only.

The file holds the developer's sandbox keys (worth nothing outside it) and is written with mode
0600.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

_EXECUTE_API = re.compile(
    r"(?P<scheme>https|wss)://(?P<api>[a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?P<rest>[/?].*)?"
)
_FUNCTION_URL = re.compile(
    r"https://(?P<id>[a-z0-9]+)\.lambda-url\.[a-z0-9-]+\.on\.aws(?P<rest>[/?].*)?"
)
_HEALTH_SECONDS = 10.0  # one that is gone refuses at once; a busy one may take its time


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A sandbox's address and the developer's keys.

    Attributes:
        endpoint: the AWS endpoint (`http://127.0.0.1:PORT`).
        http_url: pattern with `{api}` and `{stage}` for HTTP APIs; `{stage}` may be `$default`.
        websocket_url: the same for WebSocket APIs.
        management_url: the same for `@connections` (an `endpoint_url` of
            `apigatewaymanagementapi`).
        id: unique per run.
    """

    endpoint: str
    region: str
    pid: int
    http_url: str
    websocket_url: str
    management_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    account_id: str
    id: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> SandboxInfo:
        """Raises ValueError on anything that is not a SandboxInfo."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not an object")  # noqa: TRY004 - one error for any malformed text
        try:
            return cls(**{f.name: values[f.name] for f in fields(cls)})
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error


def environment(info: SandboxInfo) -> dict[str, str]:
    """What points any SDK, the AWS CLI and Terraform at the sandbox."""
    return {
        "AWS_ENDPOINT_URL": info.endpoint,
        "AWS_ACCESS_KEY_ID": info.access_key_id,
        "AWS_SECRET_ACCESS_KEY": info.secret_access_key,
        "AWS_REGION": info.region,
        "AWS_DEFAULT_REGION": info.region,
    }


def local_url(info: SandboxInfo, url: str) -> str:
    """Map an `execute-api` or function URL to the loopback address that answers now.

    Others stay as they are.
    """
    if (found := _FUNCTION_URL.fullmatch(url)) is not None:
        return f"{info.endpoint}/_sandbox/url/{found['id']}{found['rest'] or '/'}"
    match = _EXECUTE_API.fullmatch(url)
    if match is None:
        return url
    path, mark, query = (match["rest"] or "").partition("?")
    if match["scheme"] == "wss":
        stage, _, rest = path.removeprefix("/").partition("/")
        base = info.websocket_url.format(api=match["api"], stage=stage)
        return base + (f"/{rest}" if rest else "") + mark + query
    # Whether the first segment is a stage is known to the sandbox alone, so the address leaves that
    # open.
    base = info.http_url.format(api=match["api"], stage="$default").removesuffix("/$default")
    return base + "/~" + path + mark + query


def write(info: SandboxInfo, path: Path) -> None:
    """Write atomically, readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(info.to_json() + "\n")
    Path(temporary).replace(path)


def attach(path: Path) -> SandboxInfo | None:
    """The sandbox that `path` names, or None where there is no such file or nothing of that id answers."""
    try:
        info = SandboxInfo.from_json(path.read_text())
    except (OSError, ValueError):
        return None
    return info if is_alive(info) else None


def is_alive(info: SandboxInfo) -> bool:
    """Whether the very run that `info` names answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{info.endpoint}/_sandbox/health", timeout=_HEALTH_SECONDS) as answer:
            return bool(json.loads(answer.read()).get("id") == info.id)
    except (OSError, ValueError, urllib.error.URLError):
        return False
