"""Looks at functions whose code Terraform ignores, and puts the stub at their own handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.code_changes.at_handlers import (
    Instance,
    SeenCode,
    handlers_of,
    planned_change,
    reason_against,
)
from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.live.deployed_code import CALLS_AT_ONCE
from terralive_cli.live.stub_check import STUB_BYTES
from terralive_cli.restoring.by_api import (
    FunctionVersion,
    NotPutBackError,
    read_version,
    refusals,
    update_code,
    update_settings,
)
from terralive_cli.restoring.packages import NotDownloadedError, downloaded
from terralive_cli.restoring.stub_code import TAIL_BYTES, is_stub_zip
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_terraform.artifacts import STUB_RUNTIME, Artifact, StubCoordinates, build_stub_at
from terralive_terraform.handler_files import stage_in
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.rules import STUB_RUNTIMES

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_NO_VERSION: Final = "there is no published version of it, from which it could be put back"


@dataclass(frozen=True, slots=True)
class Looked:
    """The answer of a look at one function.

    Attributes:
        address: its address, with instance keys.
        reason: why it stays as it is; "" where it can be live.
        change: the change of its code; None where its code stays.
        stub: the sum of this stage's stub at its handlers; "" before the stage is deployed.
        holder: another stage whose stub it has; None for none.
    """

    address: str
    reason: str = ""
    change: CodeChange | None = None
    stub: str = ""
    holder: StageName | None = None


@dataclass(frozen=True, slots=True)
class StubsAtHandlers:
    """The stubs of a stage at the handlers of functions.

    Attributes:
        accounts: sessions in the accounts of the functions.
        stage: the app and the stage.
        coordinates: the settings of the stub; None before the stage is deployed.
        folder: the folder for zips.
        record: reads the record of what a stub has replaced, by the function's ARN.
    """

    accounts: Accounts
    stage: StageName
    coordinates: StubCoordinates | None
    folder: Path
    record: Callable[[str], Replaced | None]

    def look(self, instances: Sequence[Instance]) -> Iterator[Looked]:
        """Look at functions.

        Raises:
            NotPutBackError: the records of what stubs have replaced cannot be read.
        """
        deployed = [item for item in instances if item.function is not None]
        # One thread makes all clients, because a session is not safe for several.
        clients: dict[str, LambdaClient | str] = {}
        for item in deployed:
            with suppress(CredentialsError):
                clients[item.change.arn] = self._client(item.change.arn)
        known = [item for item in deployed if item.change.arn in clients]
        with ThreadPoolExecutor(CALLS_AT_ONCE, "code-look") as pool:
            codes = list(pool.map(self._seen, known))
        answers = {item.address: seen for item, seen in zip(known, codes, strict=True)}
        for item in instances:
            if item.function is None:
                yield Looked(item.address, change=item.change)
                continue
            seen = answers.get(item.address, "terralive has no credentials for its account")
            if isinstance(seen, str):
                yield Looked(item.address, f"its code cannot be looked at: {seen}")
            else:
                yield self._looked(item, seen)

    def _looked(self, instance: Instance, seen: SeenCode) -> Looked:
        reason = reason_against(instance, seen.version)
        if reason:
            return Looked(instance.address, reason)
        stub = self._stub(instance, seen.version)
        sums = [stub.sha256_base64] if stub is not None else []
        change = planned_change(instance, seen, sums)
        holder = None
        if change is not None and seen.stage != self.stage:
            holder = seen.stage
        return Looked(instance.address, "", change, "".join(sums), holder)

    def put(self, change: CodeChange) -> str:
        """Put the stub in the place of one function's code; return the sum of its zip.

        The code comes first: on its own runtime, such a function answers from its version.

        Args:
            change: the change that the user has agreed to.

        Raises:
            NotPutBackError: AWS refuses it, or the function's code could not be put back.
        """
        client = self._client(change.arn)
        now = read_version(client, change.arn)
        instance = Instance(change.address, change.ignored, change.handler, change.runtime)
        reason = reason_against(instance, now)
        if reason:
            raise NotPutBackError(reason)
        with refusals():
            known = self.record(change.arn)
        stub = self._stub(instance, now)
        if known is None or stub is None:
            raise NotPutBackError(_NO_VERSION)
        if now.sha256 != stub.sha256_base64:
            if change.sha256 and now.sha256 != change.sha256:
                message = "its code has changed since it was looked at; run the command again"
                raise NotPutBackError(message)
            if change.keep is not Keep.KNOWN and known.code_sha256 != now.sha256:
                raise NotPutBackError(_NO_VERSION)
            update_code(client, change.arn, {"ZipFile": stub.path.read_bytes()})
        if now.settings.runtime not in STUB_RUNTIMES:
            update_settings(client, change.arn, {"Runtime": STUB_RUNTIME})
        return stub.sha256_base64

    def _stub(self, instance: Instance, seen: FunctionVersion) -> Artifact | None:
        """Build the stub at a function's handlers.

        It is None before the stage is deployed. For a function of Node.js, it is None where no
        version of it is known.
        """
        if self.coordinates is None:
            return None
        version = ""
        if instance.is_node:
            with refusals():
                known = self.record(seen.function)
            if known is None:
                return None
            version = known.version
        handlers = handlers_of(seen, instance.handler)
        return build_stub_at(self.coordinates, handlers, self.folder, version=version)

    def _seen(self, instance: Instance) -> SeenCode | str:
        """Look at a function; return the reason where that is not possible."""
        arn = instance.change.arn
        try:
            version = read_version(self._client(arn), arn)
            if version.code_bytes not in STUB_BYTES:
                return SeenCode(version)
            tail = downloaded(version.location, tail_bytes=TAIL_BYTES)
        except (NotPutBackError, NotDownloadedError) as error:
            return str(error)
        if not is_stub_zip(tail):
            return SeenCode(version)
        found = stage_in(tail)
        if found is None:
            return SeenCode(version, is_stub=True)
        return SeenCode(version, is_stub=True, stage=StageName(*found))

    def _client(self, arn: str) -> LambdaClient:
        place = place_of(arn)
        client: LambdaClient = self.accounts.client("lambda", place.account, place.region)
        return client
