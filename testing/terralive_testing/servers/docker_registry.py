"""Debian's container registry as a process of its own, and a base image in it that is made up.

`make` unpacks it with `scripts/docker-registry`. https://distribution.github.io/distribution/
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from terralive_cli.images.layer import layer_of
from terralive_testing.machine.waiting import eventually

_UNPACKED = Path(sys.prefix) / "docker-registry" / "usr" / "bin" / "docker-registry"
USER, PASSWORD = "AWS", "password"
# The bcrypt hash of the password; the registry takes no other kind.
_HASH = "$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"
_START_SECONDS = 30.0
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def registry_program() -> Path | None:
    """Return the registry's program; None where there is none."""
    if _UNPACKED.is_file():
        return _UNPACKED
    found = shutil.which("docker-registry")
    if found is None:
        return None
    return Path(found)


@dataclass(frozen=True)
class DockerRegistry:
    """A running registry.

    Attributes:
        host: its address and port.
        log: the file with its output: a line for each request.
        login: the user and the password; None where it asks for none.
    """

    host: str
    log: Path
    login: tuple[str, str] | None = None

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  # httpx's
        """Send a request to its API."""
        url = f"http://{self.host}/v2/{path}"
        return httpx.request(
            method, url, auth=self.login, trust_env=False, follow_redirects=True, **options
        )

    def answers(self) -> bool:
        """Tell whether it is there."""
        try:
            return self.request("GET", "").is_success
        except httpx.HTTPError:
            return False

    def sent(self) -> list[str]:
        """Return method and path of each request that has changed something."""
        requests = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            for method in ("POST", "PUT", "PATCH"):
                _, found, rest = line.partition(f'"{method} ')
                if found and " HTTP/" in rest:
                    requests.append(f"{method} {rest.partition(' HTTP/')[0]}")
        return requests

    def put_blob(self, repository: str, data: bytes) -> dict[str, Any]:
        """Store a blob. Return its digest and size, as a descriptor has them."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        location = self.request("POST", f"{repository}/blobs/uploads/").headers["Location"]
        separator = "&" if "?" in location else "?"
        answer = httpx.put(
            f"{location}{separator}digest={digest}",
            content=data,
            auth=self.login,
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text
        return {"digest": digest, "size": len(data)}

    def put_manifest(
        self, repository: str, reference: str, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Store a manifest or an index. Return its descriptor."""
        data = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answer = self.request(
            "PUT",
            f"{repository}/manifests/{reference or digest}",
            content=data,
            headers={"Content-Type": document["mediaType"]},
        )
        assert answer.status_code == 201, answer.text
        return {"mediaType": document["mediaType"], "digest": digest, "size": len(data)}

    def put_base(
        self, repository: str, tag: str, architectures: tuple[str, ...], *, oci: bool = False
    ) -> None:
        """Store a base image of two layers for some architectures, behind an index."""
        listed = []
        manifest_type, index_type = DOCKER_MANIFEST, DOCKER_INDEX
        config_type = "application/vnd.docker.container.image.v1+json"
        layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        if oci:
            manifest_type, index_type = OCI_MANIFEST, OCI_INDEX
            config_type = "application/vnd.oci.image.config.v1+json"
            layer_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        for architecture in architectures:
            layers = [
                layer_of({"lib/python": architecture.encode() * 1000}, "/var"),
                layer_of({"lambda-entrypoint.sh": b"#!/bin/sh\n"}, "/"),
            ]
            config = {
                "architecture": architecture,
                "os": "linux",
                "config": {
                    "Entrypoint": ["/lambda-entrypoint.sh"],
                    "Env": ["LAMBDA_TASK_ROOT=/var/task", "PATH=/var/lang/bin:/bin"],
                    "WorkingDir": "/var/task",
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
                "history": [{"created_by": "made up"}, {"created_by": "made up"}],
            }
            stored = [self.put_blob(repository, layer.data) for layer in layers]
            own = self.put_blob(repository, json.dumps(config).encode())
            manifest = {
                "schemaVersion": 2,
                "mediaType": manifest_type,
                "config": {"mediaType": config_type, **own},
                "layers": [{"mediaType": layer_type, **item} for item in stored],
            }
            descriptor = self.put_manifest(repository, "", manifest)
            platform = {"architecture": architecture, "os": "linux"}
            listed.append({**descriptor, "platform": platform})
        index = {"schemaVersion": 2, "mediaType": index_type, "manifests": listed}
        self.put_manifest(repository, tag, index)


@contextmanager
def running_docker_registry(folder: Path, *, with_login: bool = False) -> Iterator[DockerRegistry]:
    """Run a registry on loopback, with its files and its log in `folder`."""
    program = registry_program()
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    login = None
    if with_login:
        passwords = folder / "htpasswd"
        passwords.write_text(f"{USER}:{_HASH}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(passwords)}}
        login = (USER, PASSWORD)
    file = folder / "config.yml"
    # JSON is YAML, too.
    file.write_text(json.dumps(settings))
    log_file = folder / "registry.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", str(file)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = eventually(lambda: _address_in(log_file), "docker-registry")
        registry = DockerRegistry(address, log_file, login)
        eventually(registry.answers, "docker-registry", seconds=_START_SECONDS)
        yield registry
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _address_in(log: Path) -> str:
    """Return the address that the registry's log names; "" as long as there is none."""
    found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text("utf-8", "replace"))
    if found is None:
        return ""
    return found[1]
