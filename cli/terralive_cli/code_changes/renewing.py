"""Publishes the own code of a live function anew, with the settings that the function has now.

The function has its own code for some seconds. Its own handler and runtime come before that code,
and go after it. Meanwhile a zip stands at both handlers, so no invocation meets code without its
handler (see `renewable`). Where this is interrupted, the next `start` puts the stub back as it does
where other code was deployed over it, and a restore finds the function as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.code_changes.making import ReplacedCode
from terralive_cli.code_changes.renewable import cannot_renew, former_settings
from terralive_cli.fallback import versions
from terralive_cli.fallback.decision import Declared
from terralive_cli.fallback.published import Published, stage_of
from terralive_cli.restoring.by_api import (
    FunctionVersion,
    NotPutBackError,
    Settings,
    Upload,
    changes_of_settings,
    code_of,
    read_version,
    refusals,
    update_code,
    update_settings,
)
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.artifacts import Artifact, StubCoordinates, build_stub_at
from terralive_terraform.handler_files import is_node
from terralive_terraform.substitution.marker import StageName

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Stubs:
    """The stub of a stage.

    Attributes:
        coordinates: its settings.
        zipped: its zip.
        folder: a folder for zips of it that stand at functions' own handlers.
        upload: takes zip files that are too large for a request.
    """

    coordinates: StubCoordinates
    zipped: Artifact
    folder: Path
    upload: Upload


@dataclass(frozen=True, slots=True)
class Renewal:
    """The work for one live function.

    Attributes:
        arn: its ARN.
        declared: what the configuration says of it.
        timeout: its configured timeout in seconds; 0 for not known.
        client: the client of Lambda for its account and region.
        stage: the stage.
        table: the records of what stubs have replaced.
        stubs: the stage's stub.
    """

    arn: str
    declared: Declared
    timeout: int
    client: LambdaClient
    stage: StageName
    table: ReplacedCode
    stubs: Stubs

    def done(self) -> str:
        """Publish the version anew. Return why it keeps its settings; "" where it has those of now.

        Where the function has another role now, that role may invoke the version in any case.
        """
        try:
            with refusals():
                record = self.table.get_replaced(self.arn)
                known = versions.published(self.client, self.arn)
            if record is None or not record.can_answer:
                return ""
            version = known.version(record.version)
            if version is None or not former_settings(version, known.latest, self.timeout):
                return ""
            self._permit(record, record.version, known.latest)
            obstacle = cannot_renew(self.declared, version)
            if obstacle:
                # The plan's page has said that another version is published by a restore.
                _log.debug("the version of %s is not published anew: %s", self.arn, obstacle)
                return ""
            self._renew(record)
        except NotPutBackError as error:
            return str(error)
        return ""

    def _permit(self, record: Replaced, version: str, latest: Mapping[str, Json]) -> None:
        """Let the function's role of now invoke the versions."""
        with refusals():
            for number in sorted({version, *record.aliases.values()}):
                versions.allow(self.client, self.arn, number, text(latest, "Role"), self.stage)

    def _renew(self, record: Replaced) -> None:
        """Give the function its own code and settings, publish them, and put the stub back.

        Raises:
            NotPutBackError: AWS refuses something, or the function does not carry the stub.
        """
        client, arn = self.client, self.arn
        now = read_version(client, arn)
        if now.sha256 != self.stubs.zipped.sha256_base64:
            message = "its code is not this stage's stub"
            raise NotPutBackError(message)
        version = read_version(client, arn, record.version)
        if version.sha256 != record.code_sha256:
            message = f"its version {record.version} has other code than the stub has replaced"
            raise NotPutBackError(message)
        code = code_of(version, self.stubs.upload)
        at_handler = self._at_handler(version)
        own = self._own_settings(version, now)
        try:
            update_code(client, arn, {"ZipFile": at_handler.path.read_bytes()})
            update_settings(client, arn, changes_of_settings(now.settings, own))
            update_code(client, arn, code)
            number = self._published(record)
        finally:
            self._put_stub_back(version, at_handler, changes_of_settings(own, now.settings))
        if record.made and number != record.version:
            # Stubs of before may still have invoked it until now.
            with refusals():
                versions.delete(client, arn, record.version)

    def _own_settings(self, version: FunctionVersion, now: FunctionVersion) -> Settings:
        """Return the settings that a stub replaces, as they are published."""
        timeout = self.timeout or now.settings.timeout
        return replace(version.settings, description=version.description or "", timeout=timeout)

    def _at_handler(self, version: FunctionVersion) -> Artifact:
        """Build the stub that answers at the stub's handler, and at the function's own."""
        answering = ""
        if is_node(version.settings.runtime):
            answering = version.version
        handlers = (version.settings.handler,)
        return build_stub_at(self.stubs.coordinates, handlers, self.stubs.folder, version=answering)

    def _published(self, record: Replaced) -> str:
        """Publish `$LATEST`, which has the own code, and record the version; return its number."""
        with refusals():
            known = versions.published(self.client, self.arn)
            if text(known.latest, "CodeSha256") != record.code_sha256:
                message = "its code has changed while it was being published"
                raise NotPutBackError(message)
            number = versions.publish(self.client, self.arn, known.latest, self.stage)
            self._permit(record, number, known.latest)
            made = self._is_made(known, number)
            self.table.put_replaced(replace(record, version=number, made=made))
        _log.debug("version %s of %s has the settings of now", number, self.arn)
        return number

    def _is_made(self, known: Published, number: str) -> bool:
        """Tell whether terralive has published a version, and not somebody before."""
        existing = known.version(number)
        return existing is None or stage_of(existing) == self.stage

    def _put_stub_back(
        self, version: FunctionVersion, at_handler: Artifact, settings: Mapping[str, Json]
    ) -> None:
        """Put the stub back in the place of the own code, and its settings.

        Raises:
            NotPutBackError: AWS refuses it, or somebody has deployed other code meanwhile.
        """
        client, arn = self.client, self.arn
        zipped = self.stubs.zipped
        sha256 = read_version(client, arn).sha256
        if sha256 not in (version.sha256, at_handler.sha256_base64, zipped.sha256_base64):
            message = "other code was deployed meanwhile, which stays"
            raise NotPutBackError(message)
        update_code(client, arn, {"ZipFile": at_handler.path.read_bytes()})
        update_settings(client, arn, settings)
        update_code(client, arn, {"ZipFile": zipped.path.read_bytes()})
