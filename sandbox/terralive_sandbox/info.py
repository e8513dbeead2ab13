"""The address and the keys of a running sandbox, which it leaves in a file. Light imports only.

The developer's keys are worth nothing outside the sandbox; the file has mode 0600 all the same.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from terralive_stub.shared.atomic_files import write_atomically

_EXECUTE_API: Final = re.compile(
    r"(?P<scheme>https|wss)://(?P<api>[a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com"
    r"(?P<rest>[/?].*)?"
)
_FUNCTION_URL: Final = re.compile(
    r"https://(?P<id>[a-z0-9]+)\.lambda-url\.[a-z0-9-]+\.on\.aws(?P<rest>[/?].*)?"
)
HEALTH_PATH: Final = "/_sandbox/health"
# A sandbox that has ended refuses at once; a busy one may need this long.
_HEALTH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A sandbox's addresses and the developer's keys.

    Attributes:
        endpoint: the AWS endpoint (`http://127.0.0.1:PORT`).
        region: the region of the resources that its users create.
        pid: its process.
        http_url: a pattern with `{api}` and `{stage}` for HTTP APIs; `{stage}` may be `$default`.
        websocket_url: the same for WebSocket APIs.
        management_url: the same for `@connections` (an `endpoint_url` of
            `apigatewaymanagementapi`).
        access_key_id: the key of a user who may do everything.
        secret_access_key: its secret.
        account_id: the account of all resources.
        id: another one for every run.
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
        """Return all of it as a JSON document."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> SandboxInfo:
        """Read a JSON document. Raises ValueError on anything that is not a SandboxInfo."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not an object")  # noqa: TRY004 - one error for any malformed text
        try:
            return cls(**{f.name: values[f.name] for f in fields(cls)})
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error


def environment(info: SandboxInfo) -> dict[str, str]:
    """Return the variables that make SDKs, the AWS CLI and Terraform use the sandbox."""
    return {
        "AWS_ENDPOINT_URL": info.endpoint,
        "AWS_ACCESS_KEY_ID": info.access_key_id,
        "AWS_SECRET_ACCESS_KEY": info.secret_access_key,
        "AWS_REGION": info.region,
        "AWS_DEFAULT_REGION": info.region,
    }


def local_url(info: SandboxInfo, url: str) -> str:
    """Map an `execute-api` or function URL of AWS to the sandbox's loopback address.

    Other URLs stay as they are.
    """
    function_url = _FUNCTION_URL.fullmatch(url)
    if function_url is not None:
        rest = function_url["rest"] or "/"
        return f"{info.endpoint}/_sandbox/url/{function_url['id']}{rest}"
    match = _EXECUTE_API.fullmatch(url)
    if match is None:
        return url
    path, mark, query = (match["rest"] or "").partition("?")
    if match["scheme"] == "wss":
        stage, _, rest = path.removeprefix("/").partition("/")
        base = info.websocket_url.format(api=match["api"], stage=stage)
        if rest:
            base = f"{base}/{rest}"
        return base + mark + query
    # Only the sandbox knows whether the path begins with a stage. `~` makes it decide.
    base = info.http_url.format(api=match["api"], stage="$default").removesuffix("/$default")
    return f"{base}/~{path}{mark}{query}"


def write(info: SandboxInfo, path: Path) -> None:
    """Write the file atomically, readable by its owner alone."""
    write_atomically(path, (info.to_json() + "\n").encode())


def attach(path: Path) -> SandboxInfo | None:
    """Return the sandbox that a file names.

    It is None if there is no such file, or if no sandbox of that id answers.
    """
    try:
        info = SandboxInfo.from_json(path.read_text())
    except (OSError, ValueError):
        return None
    if not is_alive(info):
        return None
    return info


def is_alive(info: SandboxInfo) -> bool:
    """Return whether the sandbox answers and is the same run."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{info.endpoint}{HEALTH_PATH}", timeout=_HEALTH_SECONDS) as answer:
            return bool(json.loads(answer.read()).get("id") == info.id)
    except (OSError, ValueError, urllib.error.URLError):
        return False
