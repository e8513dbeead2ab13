"""The live functions of one debug stack, and their restore without a checkout of the app.

Terraform's state and configuration are not on this machine. Everything comes from Lambda and from
the records in the stage's table. Where these do not have a function's own code and settings
completely, the function is not changed, and the reason is reported.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.restoring.by_api import Upload
from terralive_cli.restoring.exact import Original
from terralive_cli.restoring.examination import Examination, Examined
from terralive_cli.restoring.originals import Originals
from terralive_cli.restoring.packages import NotDownloadedError, downloaded
from terralive_cli.stages.looks import Functions, StackItems, known_functions, label
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, is_stub, stage_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_SETTINGS: Final = "terralive_settings.py"
# Lines of these settings. The names of apps and stages need no escapes (`rules.name`).
_NAMES: Final = re.compile(r'^(?P<name>APP|STAGE) = (?P<text>"[\w-]*")$', re.MULTILINE)
_NO_RECORD: Final = (
    "no published version has its own code (the stub was its first code, or fallback = false)"
)
_NO_DESCRIPTION: Final = "its own description was too long to be kept"
_OTHER_DESCRIPTION: Final = "it carries a stub, and somebody has changed its description"
_UNKNOWN_STUB: Final = "it carries a stub, and its code does not name the stage"


class _NotKnownError(Exception):
    """Nothing tells which stage's stub a function carries. Its text is the reason."""


@dataclass(frozen=True, slots=True)
class Restorable:
    """The functions of a debug stack.

    Attributes:
        originals: what the stage's stubs have replaced, and what goes back, by ARN.
        own: the ARNs of functions that have their own code for certain.
        blocked: why functions that are live, or may be, cannot be put back, in words.
    """

    originals: Mapping[str, Original] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StackFunctions:
    """Looks at the functions of one debug stack, and puts back what its stubs have replaced.

    Attributes:
        stage: the app and the stage.
        accounts: sessions in the accounts of the functions.
        upload: takes zip files that are too large for a request.
    """

    stage: StageName
    accounts: Accounts
    upload: Upload

    def examine(self, items: StackItems, functions: Functions) -> Restorable:
        """Look at all functions that may carry the stage's stub. It changes nothing.

        Args:
            items: the items of the stage's table.
            functions: the functions of the account and region.
        """
        blocked: dict[str, str] = {}
        if functions.refusal:
            blocked[""] = f"live functions are not known: {functions.refusal}"
        examined = self._examined(known_functions(self.stage, items, functions))
        for arn, reason in examined.unseen.items():
            blocked[arn] = f"it cannot be looked at: {reason}"
        ours: dict[str, DeployedFunction] = {}
        for arn in examined.stubs:
            function = examined.functions[arn]
            try:
                if self._holder(function) == self.stage:
                    ours[arn] = function
            except _NotKnownError as error:
                blocked[arn] = str(error)
        originals, reasons = self._originals(items).read(ours, {})
        blocked.update(reasons)
        for arn, function in ours.items():
            reason = _incomplete(function, originals.get(arn))
            if arn not in reasons and reason:
                blocked[arn] = reason
        wanted = {at: _marked(ours[at], item) for at, item in originals.items()}
        own = frozenset(examined.functions.keys() - examined.stubs)
        return Restorable(wanted, own, tuple(_sentences(blocked)))

    def put_back(self, items: StackItems, restorable: Restorable) -> tuple[str, ...]:
        """Put the originals back by Lambda's API, and check the functions again.

        Returns:
            The reasons why functions still carry the stage's stub.
        """
        if not restorable.originals:
            return ()
        reasons = self._originals(items).put_back(restorable.originals)
        if reasons:
            return tuple(_sentences(reasons))
        again = self._examined(tuple(restorable.originals))
        left = dict.fromkeys(again.stubs, "Lambda has accepted its code, and it is still a stub's")
        left.update(again.unseen)
        return tuple(_sentences(left))

    def _examined(self, arns: tuple[str, ...]) -> Examined:
        known = {arn: DeployedFunction(label(arn), arn) for arn in arns}
        return Examination(self.accounts, (), Path()).examine(known)

    def _originals(self, items: StackItems) -> Originals:
        return Originals(self.accounts, lambda: items.records, self.upload)

    def _holder(self, function: DeployedFunction) -> StageName:
        """Return the stage whose stub a function carries.

        A function whose code Terraform ignores has a stub at its own handler, and keeps its own
        description. Its code tells the stage.

        Raises:
            _NotKnownError: nothing tells it.
        """
        holder = stage_of(function.description)
        if holder is not None:
            return holder
        if not function.handler or is_stub(function.handler, ""):
            raise _NotKnownError(_OTHER_DESCRIPTION)
        try:
            text = self._settings_of(function.arn)
        except (NotDownloadedError, zipfile.BadZipFile, KeyError, CredentialsError) as error:
            reason = f"{_UNKNOWN_STUB} ({error})"
            raise _NotKnownError(reason) from None
        found = {item["name"]: json.loads(item["text"]) for item in _NAMES.finditer(text)}
        if found.keys() != {"APP", "STAGE"}:
            raise _NotKnownError(_UNKNOWN_STUB)
        return StageName(found["APP"], found["STAGE"])

    def _settings_of(self, arn: str) -> str:
        """Return the settings in the zip file of a stub.

        Raises:
            NotDownloadedError, CredentialsError: its code cannot be read.
            BadZipFile, KeyError: it has no settings.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        place = place_of(arn)
        client: LambdaClient = self.accounts.client("lambda", place.account, place.region)
        try:
            location = client.get_function(FunctionName=arn)["Code"].get("Location", "")
        except (BotoCoreError, ClientError) as error:
            raise NotDownloadedError(str(error)) from None
        with zipfile.ZipFile(BytesIO(downloaded(location))) as archive:
            return archive.read(_SETTINGS).decode("utf-8", "replace")


def _is_ignored(function: DeployedFunction) -> bool:
    """Tell whether a function has a stub at its own handler, and its own description."""
    return not is_stub(function.handler, function.description)


def _incomplete(function: DeployedFunction, original: Original | None) -> str:
    """Return why what a stub has replaced is not known completely; "" where it is."""
    if original is None:
        return _NO_RECORD
    if original.description is None and not _is_ignored(function):
        return _NO_DESCRIPTION
    return ""


def _marked(function: DeployedFunction, original: Original) -> Original:
    return replace(original, is_ignored=_is_ignored(function))


def _sentences(reasons: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for arn, reason in sorted(reasons.items()):
        text = reason.rstrip(".")
        if arn:
            text = f"{label(arn)}: {text}"
        found.append(text)
    return found
