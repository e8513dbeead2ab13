"""Downloads layers that the configuration names by ARN, as the user permits, each of them once.

The code of a layer runs in workers. So it comes here only by the ARN that the configuration names,
after the user has said yes, and its sum is compared with what Lambda says. Nothing that arrives
while functions are live can name a layer.
https://docs.aws.amazon.com/lambda/latest/api/API_GetLayerVersionByArn.html
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol

from terralive_cli.configuration.tables import DownloadChoice
from terralive_cli.deploy.accounts import Clients
from terralive_cli.layers.store import LayerStore
from terralive_cli.network.trust import relay_trust
from terralive_cli.output.formats.words import listed
from terralive_relay.events import Event, Warned
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.arns import place_of
from terralive_workers.extensions.kinds import extension_of
from terralive_workers.function import LocalFunction

_log: Final = logging.getLogger("terralive.cli")
_ARN: Final = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:[\w-]+:layer:(?P<name>[\w-]+):\d+")
_SECONDS: Final = 30
_CHUNK_BYTES: Final = 1024 * 1024
_MOST_NAMES: Final = 10
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MOST_BYTES: Final = 250 * 1024 * 1024


class Asked(Protocol):
    """The user, as far as a question about layers concerns it; see `Ui`."""

    interactive: bool

    def emit(self, *events: Event) -> None:
        """Show events."""

    def answer(self, question: str) -> str:
        """Ask for a text."""


@dataclass(slots=True)
class MissingLayer:
    """A layer version that is not on this machine.

    Attributes:
        arn: its ARN.
        account: the account of a function that has it, which may read it.
        functions: the names of the functions that have it.
    """

    arn: str
    account: str
    functions: list[str] = field(default_factory=list)


class NotDownloadedError(Exception):
    """A layer that could not be had. Its text is the reason."""


def missing_layers(functions: Sequence[LocalFunction]) -> list[MissingLayer]:
    """Return the layer versions that are not on this machine, in the order of the functions."""
    found: dict[str, MissingLayer] = {}
    for function in functions:
        for part in function.layers:
            if part.arn and not part.local.exists():
                account = place_of(function.arn).account
                layer = found.setdefault(part.arn, MissingLayer(part.arn, account))
                layer.functions.append(function.shown_name)
    return list(found.values())


def is_extension(arn: str) -> bool:
    """Tell whether a layer is an extension by its name: a program, which does not run here."""
    match = _ARN.fullmatch(arn)
    return match is not None and "extension" in match["name"].lower()


def download_missing(
    functions: Sequence[LocalFunction],
    choice: DownloadChoice,
    clients: Clients,
    user: Asked,
    store: LayerStore,
) -> None:
    """Download the layers that are not on this machine, as the user permits; name the others.

    Args:
        functions: the live functions.
        choice: the user's setting.
        clients: clients of Lambda.
        user: is asked, and told.
        store: has the layers.
    """
    missing = missing_layers(functions)
    extensions = [layer for layer in missing if is_extension(layer.arn)]
    wanted = [layer for layer in missing if layer not in extensions]
    reasons: dict[str, str] = {}
    permitted = _permitted(wanted, choice, user, store)
    for layer in wanted:
        if layer not in permitted:
            reasons[layer.arn] = _not_permitted(choice, user)
            continue
        try:
            _download(layer, clients, store)
        except NotDownloadedError as error:
            reasons[layer.arn] = str(error)
    warnings = [_warning(layer, reasons[layer.arn]) for layer in wanted if layer.arn in reasons]
    warnings += [
        _extension_warning(layer) for layer in extensions if extension_of(layer.arn) is None
    ]
    user.emit(*warnings)


def _permitted(
    wanted: Sequence[MissingLayer], choice: DownloadChoice, user: Asked, store: LayerStore
) -> list[MissingLayer]:
    """Return the layers that the user permits. An answer holds for later starts, too."""
    if choice is not DownloadChoice.ASK:
        return list(wanted) if choice is DownloadChoice.ALWAYS else []
    new = [layer for layer in wanted if not store.refusal_of(layer.arn).exists()]
    if not new or not user.interactive:
        return []
    names = listed([layer.arn for layer in new], _MOST_NAMES)
    answer = user.answer(
        f"Layers that the configuration names are not on this machine: {names}. Download them, so "
        "that their code runs in your workers? [y/N]"
    )
    if answer.lower() in {"y", "yes"}:
        return new
    for layer in new:
        try:
            store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            store.refusal_of(layer.arn).touch(mode=0o600)
        except OSError as error:
            _log.debug("the answer is not kept: %s", error)
    return []


def _not_permitted(choice: DownloadChoice, user: Asked) -> str:
    if choice is DownloadChoice.NEVER:
        return "download_layers is false"
    if user.interactive:
        return "you did not want it (`--download-layers true` downloads it)"
    return "nobody could be asked (`--download-layers true` downloads it)"


def _warning(layer: MissingLayer, reason: str) -> Warned:
    names = listed(layer.functions, _MOST_NAMES)
    text = f"Handlers run without the layer {layer.arn} ({names}): {reason}."
    return Warned("layer-missing", text)


def _extension_warning(layer: MissingLayer) -> Warned:
    """Return the warning that an extension does not run here.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html
    """
    names = listed(layer.functions, _MOST_NAMES)
    text = f"The extension {layer.arn} ({names}) does not run here."
    return Warned("extension-not-here", text)


def _download(layer: MissingLayer, clients: Clients, store: LayerStore) -> None:
    """Download a layer version, compare its sum, and unpack it.

    Raises:
        NotDownloadedError: it cannot be had.
    """
    if _ARN.fullmatch(layer.arn) is None:
        raise NotDownloadedError("this is no ARN of a layer version")
    content = _content(layer, clients)
    try:
        new = store.new_folder()
        try:
            zip_file = new / "layer.zip"
            with zip_file.open("wb") as stream:
                _fetch(str(content.get("Location", "")), stream)
            _check_sum(zip_file, str(content.get("CodeSha256", "")))
            store.unpack(zip_file, store.folder_of(layer.arn))
        finally:
            store.remove(new)
    except (OSError, zipfile.BadZipFile) as error:
        raise NotDownloadedError(f"it could not be downloaded ({error})") from None


def _content(layer: MissingLayer, clients: Clients) -> Mapping[str, object]:
    """Ask Lambda where the content of a layer version is.

    Raises:
        NotDownloadedError: the caller may not read it, or Lambda does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    region = place_of(layer.arn).region
    try:
        client = clients.client("lambda", layer.account, region)
        content: Mapping[str, object] = client.get_layer_version_by_arn(Arn=layer.arn)["Content"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise NotDownloadedError(f"lambda:GetLayerVersion was refused ({code})") from None
    except (BotoCoreError, TerraliveError) as error:
        raise NotDownloadedError(f"Lambda could not be asked ({error})") from None
    return content


def _fetch(url: str, stream: IO[bytes]) -> None:
    """Download a file.

    Raises:
        OSError: it cannot be downloaded, or it is larger than a layer may be.
    """
    if not url.startswith(("https://", "http://")):
        raise OSError("Lambda names no address for it")
    taken = 0
    # It is an address that Lambda has signed.
    with urllib.request.urlopen(  # noqa: S310  # its scheme was looked at
        url, timeout=_SECONDS, context=relay_trust(url)
    ) as answer:
        while chunk := answer.read(_CHUNK_BYTES):
            taken += len(chunk)
            if taken > _MOST_BYTES:
                raise OSError("it is larger than a layer may be")
            stream.write(chunk)


def _check_sum(zip_file: Path, expected: str) -> None:
    """Compare a file with Lambda's SHA-256 of it, in base64.

    Raises:
        NotDownloadedError: it is another file.
    """
    with zip_file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    if base64.b64encode(digest).decode() != expected:
        raise NotDownloadedError("what was downloaded does not have the sum that Lambda tells")
