"""Finds the deployed functions that carry a stub.

If no function carries one, this takes one call for each function, or one for 50 functions of many.
If neither the answer nor a zip file on this machine is enough, another call gets the code itself,
once for functions with equal code.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.live.deployed_code import (
    CALLS_AT_ONCE,
    Call,
    DeployedCodeReader,
    by_place,
)
from terralive_cli.live.stub_check import DeployedCode, Look
from terralive_cli.restoring.packages import NotDownloadedError, downloaded
from terralive_cli.restoring.stub_code import (
    TAIL_BYTES,
    Carried,
    carried,
    is_stub_image,
    is_stub_zip,
)
from terralive_stub.shared.arns import place_of
from terralive_terraform.output.state import DeployedFunction, Package

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Examined:
    """The result of a look at deployed functions.

    Attributes:
        functions: the functions by address, with the handler, the description and the hash of the
            code that Lambda has.
        stubs: the addresses of those that carry a stub, in their configuration or their code.
        unseen: address -> the reason why a function could not be looked at.
    """

    functions: Mapping[str, DeployedFunction] = field(default_factory=dict)
    stubs: frozenset[str] = frozenset()
    unseen: Mapping[str, str] = field(default_factory=dict)


class NotSeenError(Exception):
    """The code of a function cannot be looked at. Its text is the reason."""


class Examination:
    """Looks at functions with the credentials of their accounts.

    Args:
        accounts: sessions in the accounts of the functions.
        own_images: the images of `[stub_image]`.
        directory: the folder that Terraform runs in.
    """

    def __init__(self, accounts: Accounts, own_images: Collection[str], directory: Path) -> None:
        self._accounts = accounts
        self._own_images = own_images
        self._directory = directory

    def examine(self, functions: Mapping[str, DeployedFunction]) -> Examined:
        """Look at functions of a state, by address. One that does not exist carries nothing."""
        codes, reasons = self._look({function.arn for function in functions.values()})
        seen: dict[str, DeployedFunction] = {}
        stubs: set[str] = set()
        unseen: dict[str, str] = {}
        unknown: dict[str, DeployedCode] = {}
        for address, function in functions.items():
            if function.arn not in codes:
                unseen[address] = reasons[function.arn]
                continue
            code = codes[function.arn]
            if code is None:
                continue
            seen[address] = replace(
                function,
                handler=code.handler,
                description=code.description,
                code_hash=code.sha256,
            )
            match carried(code):
                case Carried.STUB:
                    stubs.add(address)
                case Carried.UNKNOWN if not self._is_on_this_machine(function.package, code):
                    unknown[address] = code
        for address, answer in self._looked_into(functions, unknown).items():
            if isinstance(answer, NotSeenError):
                unseen[address] = str(answer)
            elif answer:
                stubs.add(address)
        _log.debug("%d of %d functions carry a stub", len(stubs), len(functions))
        return Examined(seen, frozenset(stubs), unseen)

    def _look(
        self, arns: Collection[str]
    ) -> tuple[Mapping[str, DeployedCode | None], Mapping[str, str]]:
        """Return the functions as Lambda describes them, and the reasons for those left out."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        reader = DeployedCodeReader(partial(self._accounts.client, "lambda"), Call.FUNCTION)
        codes: dict[str, DeployedCode | None] = {}
        reasons: dict[str, str] = {}
        for place, group in by_place(arns).items():
            try:
                look = reader.read(group)
            except (BotoCoreError, ClientError) as error:
                look = Look({}, str(error))
            reason = look.not_entered.get(place.account) or look.refusal
            reasons.update(dict.fromkeys(group, reason))
            codes.update(look.code)
        return codes, reasons

    def _is_on_this_machine(self, package: Package, code: DeployedCode) -> bool:
        """Tell whether the deployed zip is the function's own one, as it is on this machine."""
        if not package.filename:
            return False
        file = self._directory / package.filename
        try:
            if file.stat().st_size != code.size:
                return False
            data = file.read_bytes()
        except OSError:
            return False
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
        # A state that is wrong may also name the stub's zip.
        return digest == code.sha256 and not is_stub_zip(data[-TAIL_BYTES:])

    def _looked_into(
        self, functions: Mapping[str, DeployedFunction], unknown: Mapping[str, DeployedCode]
    ) -> dict[str, bool | NotSeenError]:
        """Look into the code of functions; return by address whether it is a stub's."""
        arns: dict[str, str] = {}
        for address, code in unknown.items():
            arns.setdefault(code.sha256 or address, functions[address].arn)
        if not arns:
            return {}
        with ThreadPoolExecutor(CALLS_AT_ONCE, "code-look") as pool:
            answers = dict(zip(arns, pool.map(self._is_stub, arns.values()), strict=True))
        return {address: answers[code.sha256 or address] for address, code in unknown.items()}

    def _is_stub(self, arn: str) -> bool | NotSeenError:
        """Look into the code of one function; return whether it is a stub's."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            place = place_of(arn)
            client: LambdaClient = self._accounts.client("lambda", place.account, place.region)
            code = client.get_function(FunctionName=arn)["Code"]
            image = code.get("ImageUri", "")
            if image:
                return is_stub_image(image, self._own_images)
            return is_stub_zip(downloaded(code.get("Location", ""), tail_bytes=TAIL_BYTES))
        except (NotDownloadedError, BotoCoreError, ClientError) as error:
            return NotSeenError(str(error))
