"""ministack: an emulator of AWS that nobody here wrote, as a process of its own.

`make` installs it into a virtual environment of its own, because it needs another botocore than
terralive's tests. https://pypi.org/project/ministack/
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from terralive_stub.shared.endpoints import reachable
from terralive_testing.machine.certificates import Authority
from terralive_testing.machine.waiting import eventually

PROGRAM = Path(sys.prefix) / "ministack" / "bin" / "ministack"
_START_SECONDS = 60.0
# A server that closes an idle connection while a request arrives may do what the request says and
# never answer. The client sends it again, so the provider waits for the end of a conflict that does
# not end. Clients of Go close an idle connection after 90 s: the server must wait longer.
# https://pkg.go.dev/net/http#DefaultTransport
_KEEP_ALIVE_SECONDS = 3600
_STOP_SECONDS = 10.0
REGION = "us-east-1"


@dataclass(frozen=True)
class Ministack:
    """A running ministack.

    Attributes:
        endpoint: where all its services answer.
        log: the file with its output.
        authority: signs its certificate; None without TLS.
    """

    endpoint: str
    log: Path
    authority: Authority | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables that make SDKs and Terraform use it."""
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }
        if self.authority is not None:
            variables["AWS_CA_BUNDLE"] = str(self.authority.bundle)
        return variables

    def answers(self) -> bool:
        """Tell whether it is there."""
        tls = ssl.create_default_context()
        if self.authority is not None:
            tls.load_verify_locations(self.authority.bundle)
        url = f"{self.endpoint}/_ministack/health"
        try:
            return httpx.get(url, timeout=5, trust_env=False, verify=tls).is_success
        except httpx.HTTPError:
            return False

    def last_requests(self) -> str:
        """Return the end of its log, for the report of a failed test."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-80:])

    def client(self, service: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        """Return a client of one of its services."""
        verify = None
        if self.authority is not None:
            verify = str(self.authority.bundle)
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            verify=verify,
        )


@contextmanager
def running_ministack(folder: Path, *, tls: bool = False) -> Iterator[Ministack]:
    """Run ministack with its log and its files in `folder`.

    With `tls`, a private authority has signed its certificate.
    """
    # It gets the open socket. Another process could take a port that is free until it starts.
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    log_file = folder / "ministack.log"
    one = Ministack(f"http://127.0.0.1:{port}", log_file)
    if tls:
        authority = Authority.create(folder, "localhost", "*.execute-api.localhost")
        one = Ministack(f"https://127.0.0.1:{port}", log_file, authority)
    # Its functions get its environment, so it has as little of the developer's as possible.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
    }
    # `ministack` itself closes idle connections after 75 s, and logs no requests.
    arguments = ["-m", "hypercorn", "ministack.app:app", "--bind", f"fd://{listener.fileno()}"]
    arguments += ["--keep-alive", str(_KEEP_ALIVE_SECONDS), "--access-logfile", "-"]
    if one.authority is not None:
        certificate, key = str(one.authority.chain), str(one.authority.key)
        arguments += ["--certfile", certificate, "--keyfile", key]
        environment |= {
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": certificate,
            "MINISTACK_SSL_KEY": key,
        }
    with one.log.open("wb") as log, listener:
        process = subprocess.Popen(
            [str(PROGRAM.with_name("python")), *arguments],
            cwd=folder,
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(one.answers, "ministack", seconds=_START_SECONDS)
        yield one
    finally:
        # Its functions are processes of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def get(url: str) -> httpx.Response:
    """Request a page by its address, whose name the system may not resolve."""
    address = reachable(url)
    headers = {}
    if address.host:
        headers["Host"] = address.host
    return httpx.get(address.url, headers=headers, timeout=60, trust_env=False)
