"""The stub's images of a stage: their names for a plan, and their way to the debug stack.

A plan needs an image's name, and nothing may be sent before the plan is agreed to. So an image is
prepared first, and pushed before the plan is applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from terralive_cli.deploy.aws import RegistryLogin
from terralive_cli.images.registry import Login, Repository
from terralive_cli.images.stub_image import Base, PreparedImage, StubImage, stub_layer
from terralive_cli.network.trust import ca_bundle
from terralive_terraform.artifacts import STUB_IMAGE, STUB_IMAGE_TAG

# Before the debug stack is deployed, its app is planned with this name to find mistakes.
_NOT_YET: Final = f"not-deployed-yet/{STUB_IMAGE}:{STUB_IMAGE_TAG}"
# `123456789012.dkr.ecr.eu-west-1.amazonaws.com` and other partitions, also with dual stack.
_ECR: Final = re.compile(r"\d{12}\.dkr[.-]ecr\.[\w.-]+")
_LOOPBACK: Final = ("127.", "localhost:")
_REFERENCE: Final = re.compile(r"([^/]+)/([^@:]+)(?:@(sha256:[0-9a-f]{64})|:([^:@]+))?")


class Caller(Protocol):
    """The caller on AWS; see `deploy.aws.Caller`."""

    @property
    def region(self) -> str:
        """The region of the stage."""

    @property
    def emulator(self) -> str | None:
        """The address of an emulator; None on AWS."""

    def registry_login(self) -> RegistryLogin:
        """Return a login to the account's registry."""


@dataclass(slots=True)
class StageImages:
    """The stub's images of a stage.

    Attributes:
        caller: the caller, who pushes.
        base: the name of the base image.
        has_registry: whether the account has a registry that takes images: the sandbox has none,
            and what its repositories hold is only a name.
        _names: the names that were given, by repository and architecture.
        _prepared: the images that were prepared, by their names.
        _login: the login to the account's registry, once it was asked for.
    """

    caller: Caller
    base: str
    has_registry: bool
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _prepared: dict[str, PreparedImage] = field(default_factory=dict)
    _login: RegistryLogin | None = None

    def name(self, repository: str, architecture: str) -> str:
        """Return the name of the stub's image for an architecture.

        Args:
            repository: the debug stack's repository; "" before it is deployed.
            architecture: `x86_64` or `arm64`.

        Raises:
            ConfigurationError, CredentialsError, TerraliveError: see `StubImage.prepared`.
        """
        if not repository:
            return _NOT_YET
        known = (repository, architecture)
        if known not in self._names:
            self._names[known] = self._prepare(repository, architecture)
        return self._names[known]

    def push(self, names: Collection[str], on_progress: Callable[[str], None]) -> None:
        """Push the images of some names, unless they are there.

        Raises:
            CredentialsError, TerraliveError: see `PreparedImage.push`.
        """
        for name in names:
            prepared = self._prepared.pop(name, None)
            if prepared is not None:
                prepared.push(on_progress)

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of the images that were asked for and have to be pushed."""
        return tuple(name for name, item in self._prepared.items() if item.pending is not None)

    def _prepare(self, repository: str, architecture: str) -> str:
        image = StubImage(self._base(), architecture, stub_layer())
        if not self._takes_images(repository):
            return f"{repository}:{image.tag}"
        host, _, name = repository.partition("/")
        prepared = image.prepared(self._repository(host, name))
        self._prepared[prepared.name] = prepared
        return prepared.name

    def _takes_images(self, repository: str) -> bool:
        if not self.has_registry:
            return False
        # An emulator may name its repositories as AWS does. AWS has none of them.
        host = repository.partition("/")[0]
        return self.caller.emulator is None or _ECR.fullmatch(host) is None

    def _base(self) -> Base:
        match = _REFERENCE.fullmatch(self.base.replace("{region}", self.caller.region))
        assert match is not None  # noqa: S101  # the configuration's rule has checked it
        host, name, digest, tag = match.groups()
        reference = digest or tag or "latest"
        if _ECR.fullmatch(host):
            return Base(self._repository(host, name), reference)
        # As Docker does, take a registry on loopback without TLS.
        is_secure = not host.startswith(_LOOPBACK)
        return Base(Repository(host, name, is_secure=is_secure, trust=ca_bundle()), reference)

    def _repository(self, host: str, name: str) -> Repository:
        """Return a repository of ECR's, with the caller's login."""
        if self._login is None:
            self._login = self.caller.registry_login()
        login = Login(self._login.user, self._login.password)
        is_secure = not self._login.endpoint.startswith("http://")
        return Repository(host, name, login, is_secure=is_secure, trust=ca_bundle())
