"""A container registry, by the API of https://github.com/opencontainers/distribution-spec.

`oras` makes the requests. What a registry refuses, and a network that does not reach it, become
errors that say what to do. Whatever arrives is checked by its digest.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.images.manifests import ACCEPTED, Blob, Document
from terralive_stub.errors import CredentialsError, TerraliveError

if TYPE_CHECKING:
    import requests

_log: Final = logging.getLogger("terralive.cli")
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_CHUNK_BYTES: Final = 1 << 20
_OK: Final = 200
_CREATED: Final = 201
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_DIGEST: Final = "Docker-Content-Digest"


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a registry, with a password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Repository:
    """One repository of a registry.

    Attributes:
        host: the registry's host, perhaps with a port.
        name: the repository's name.
        login: the user; None for an anonymous one.
        is_secure: whether the registry answers by TLS.
        trust: a file with the certificate authorities; None for those of `requests`.
    """

    host: str
    name: str
    login: Login | None = None
    is_secure: bool = True
    trust: str | None = None

    @property
    def address(self) -> str:
        """The repository, as an image's name begins."""
        return f"{self.host}/{self.name}"

    def manifest(self, reference: str) -> Document | None:
        """Return a manifest or index by its tag or digest; None where there is none.

        Raises:
            TerraliveError: `registry-refused`, `registry-unreachable`, `image-damaged`.
        """
        answer = self._request("GET", f"manifests/{reference}", accept=True)
        if answer.status_code == _NOT_FOUND:
            return None
        self._require(answer, _OK)
        document = Document(answer.content, answer.headers.get("Content-Type", ""))
        if reference.startswith("sha256:") and document.digest != reference:
            raise _damaged(self.address, reference)
        return document

    def digest(self, tag: str) -> str:
        """Return the digest of the manifest with a tag; "" where there is none.

        Raises:
            TerraliveError: `registry-refused`, `registry-unreachable`.
        """
        answer = self._request("HEAD", f"manifests/{tag}", accept=True)
        if answer.status_code == _NOT_FOUND:
            return ""
        self._require(answer, _OK)
        told = answer.headers.get(_DIGEST, "")
        if told:
            return str(told)
        document = self.manifest(tag)
        if document is None:
            return ""
        return document.digest

    def has(self, blob: Blob) -> bool:
        """Tell whether the repository has a blob."""
        with _reached(self.host):
            layer = {"digest": blob.digest, "size": blob.size}
            return bool(self._client.blob_exists(layer, self._container))

    def mount(self, blob: Blob, source: str) -> bool:
        """Take a blob from another repository of the registry. Return whether that worked."""
        path = f"blobs/uploads/?mount={blob.digest}&from={source}"
        return self._request("POST", path).status_code == _CREATED

    def download(self, blob: Blob, target: Path) -> None:
        """Write a blob to a file.

        Raises:
            TerraliveError: `registry-refused`, `registry-unreachable`, `image-damaged`.
        """
        digest = hashlib.sha256()
        with _reached(self.host):
            answer = self._client.get_blob(self._container, blob.digest, stream=True)
            self._require(answer, _OK)
            with target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
        if f"sha256:{digest.hexdigest()}" != blob.digest:
            raise _damaged(self.address, blob.digest)

    def upload(self, blob: Blob, file: Path) -> None:
        """Send a file as a blob.

        Raises:
            TerraliveError: `registry-refused`, `registry-unreachable`.
        """
        with _reached(self.host):
            layer = {"digest": blob.digest, "size": blob.size}
            answer = self._client.put_upload(str(file), self._container, layer)
        self._require(answer, _CREATED)

    def put_manifest(self, tag: str, manifest: Document) -> str:
        """Send a manifest, with a tag. Return the digest that the tag has now.

        Somebody else may have been faster. An immutable tag then keeps theirs.

        Raises:
            TerraliveError: `registry-refused`, `registry-unreachable`.
        """
        answer = self._request(
            "PUT",
            f"manifests/{tag}",
            data=manifest.data,
            headers={"Content-Type": manifest.media_type},
        )
        if answer.status_code == _CREATED:
            return manifest.digest
        known = self.digest(tag)
        if not known:
            self._require(answer, _CREATED)
        return known

    def _request(
        self,
        method: str,
        path: str,
        *,
        accept: bool = False,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        sent = dict(headers or {})
        if accept:
            sent["Accept"] = ", ".join(ACCEPTED)
        url = f"{self._client.prefix}://{self.host}/v2/{self.name}/{path}"
        with _reached(self.host):
            answer: requests.Response = self._client.do_request(
                url, method, data=data, headers=sent
            )
        _log.debug("%s %s: %d", method, url, answer.status_code)
        return answer

    def _require(self, answer: requests.Response, wanted: int) -> None:
        if answer.status_code != wanted:
            raise refusal(self.address, answer.status_code, _said(answer))

    @cached_property
    def _container(self) -> Any:  # noqa: ANN401  # oras has no types
        return self._client.get_container(self.address)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # oras has no types
        return _client(self)


def refusal(address: str, status: int, said: str) -> TerraliveError:
    """Return the error for a request that a registry has refused."""
    message = f"The registry refused a request for {address} ({status}): {said}"
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return CredentialsError(
            "registry-refused",
            message,
            hint="docs/PERMISSIONS.md lists the ecr permissions for functions that are container "
            "images.",
        )
    return TerraliveError(
        "registry-refused",
        message,
        hint="Run the command again. If it stays, name an image of the stub in [stub_image] of "
        "terralive.toml (`terralive init --stub-image`).",
    )


def _client(repository: Repository) -> Any:  # noqa: ANN401  # oras has no types
    """Return oras's client for a repository.

    Two things of oras's are replaced. Its retries wait for two minutes where there is no network.
    And it answers a refusal by a login that it looks for in Docker's files and programs.
    """
    import oras.provider  # noqa: PLC0415  # heavy
    from oras.auth.base import AuthBackend  # noqa: PLC0415  # heavy
    from requests.adapters import HTTPAdapter  # noqa: PLC0415  # heavy

    class WithTimeout(HTTPAdapter):
        def send(self, *args: Any, **options: Any) -> requests.Response:  # noqa: ANN401  # requests' own
            options["timeout"] = options.get("timeout") or (_CONNECT_SECONDS, _READ_SECONDS)
            return super().send(*args, **options)

    class KnownLogin(AuthBackend):  # type: ignore[misc]  # oras has no types
        def authenticate_request(
            self, original: requests.Response, *_: object, **__: object
        ) -> tuple[dict[str, str], bool]:
            raise refusal(repository.address, original.status_code, _said(original))

    class Client(oras.provider.Registry):  # type: ignore[misc]  # oras has no types
        do_request: Callable[..., requests.Response] = oras.provider.Registry.do_request.__wrapped__

    client = Client(
        repository.host,
        insecure=not repository.is_secure,
        tls_verify=repository.trust or True,
    )
    for scheme in ("https://", "http://"):
        client.session.mount(scheme, WithTimeout(max_retries=2))
    if repository.login is not None:
        client.session.auth = (repository.login.user, repository.login.password)
        client.auth = KnownLogin()
    return client


@contextmanager
def _reached(host: str) -> Iterator[None]:
    """Turn an error of the network into one that says what to do."""
    import requests  # noqa: PLC0415  # heavy

    try:
        yield
    except (requests.RequestException, ValueError) as error:
        # ValueError: oras has found no way to answer a refusal, or no address to send a blob to.
        raise TerraliveError(
            "registry-unreachable",
            f"The registry {host} could not be used: {error}",
            hint="Check the network and a proxy (HTTPS_PROXY). Where this machine may not reach "
            "public.ecr.aws, name a mirror of Lambda's base image: [stub_image] base in "
            "terralive.toml.",
        ) from None


def _said(answer: requests.Response) -> str:
    """Return what a registry says of a refusal, in one line."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason or "no reason given"


def _damaged(address: str, digest: str) -> TerraliveError:
    return TerraliveError(
        "image-damaged",
        f"What {address} answered for {digest} has another digest.",
        hint="Run the command again. A proxy on the way may change or cut what it passes on.",
    )
