"""Decides whether live functions still have this stage's stub. Pure.

A pipeline's `terraform apply`, or a colleague's `terralive start`, replaces the stub in a deployed
function. From then on its invocations run somewhere else, and nothing on this machine shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from terralive_relay.events import Warned
from terralive_terraform.artifacts import STUB_HANDLERS
from terralive_terraform.substitution.marker import StageName, stage_of
from terralive_terraform.substitution.rules import STUB_RUNTIMES

# The sizes that a stub's zip may have. That of this version has 280 KB.
STUB_BYTES: Final = range(32 * 1024, 2 * 1024 * 1024)
_RESTART: Final = "`terralive start` puts this stage's stub back."


@dataclass(frozen=True, slots=True)
class DeployedCode:
    """The code of a deployed function, as Lambda describes it.

    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html

    Attributes:
        sha256: SHA-256 of a zip, in base64 (`CodeSha256`).
        handler: the handler; "" in a container image.
        command: the arguments of a container image (`ImageConfig.Command`).
        description: the function's description, which says for which stage it is live.
        modified: the time of the last change, as Lambda writes it (`LastModified`).
        size: bytes of a zip; 0 for an image.
        is_image: whether it is a container image.
        runtime: its runtime; "" in a container image.
    """

    sha256: str
    handler: str = ""
    command: tuple[str, ...] = ()
    description: str = ""
    modified: str = ""
    size: int = 0
    is_image: bool = False
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at deployed functions.

    Attributes:
        code: their code by ARN; None for a function that does not exist. Functions that nobody
            could look at are left out.
        refusal: AWS's words to a caller who may not look at some of them; "" for none.
        not_entered: account -> the reason why there are no credentials for it.
    """

    code: Mapping[str, DeployedCode | None]
    refusal: str = ""
    not_entered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stub:
    """This stage's stub.

    Attributes:
        sha256: SHA-256 of its zip, in base64.
        url: the address that it connects to; an argument of stub images.
        stage: the app and the stage.
        at_handlers: the sums of its zips that stand at functions' own handlers.
    """

    sha256: str
    url: str
    stage: StageName
    at_handlers: frozenset[str] = frozenset()

    def is_in(self, code: DeployedCode) -> bool:
        """Tell whether a function's code is this stub."""
        if code.command:
            return self.url in code.command
        if code.sha256 in self.at_handlers:
            return code.runtime in STUB_RUNTIMES
        return code.sha256 == self.sha256 and code.handler in STUB_HANDLERS


class _State(Enum):
    """The code that a function had at the last look."""

    STUB = auto()  # this stage's stub
    REPLACED = auto()  # other code
    GONE = auto()  # there is no such function


class StubCheck:
    """The state of every live function, by its ARN.

    Args:
        stub: this stage's stub.
        names: the functions' names for people, by ARN.
    """

    def __init__(self, stub: Stub, names: Mapping[str, str]) -> None:
        self._stub = stub
        self._names = dict(names)
        # After the deployment, every function has the stub.
        self._states = dict.fromkeys(names, _State.STUB)
        # A missing permission was named.
        self._refused = False
        # The accounts without credentials that were named.
        self._not_entered: set[str] = set()

    def looked(self, look: Look) -> list[Warned]:
        """Return a warning for each function whose state has changed.

        One more names a refusal, and one each account that cannot be looked at: each only once.
        """
        warnings: list[Warned] = []
        if look.refusal and not self._refused:
            self._refused = True
            warnings.append(_refused(look.refusal))
        for account, reason in look.not_entered.items():
            if account not in self._not_entered:
                self._not_entered.add(account)
                warnings.append(_not_entered(account, reason))
        for arn, code in look.code.items():
            state = self._state(code)
            if state is not self._states[arn]:
                self._states[arn] = state
                warnings.append(self._warning(self._names[arn], state, code))
        return warnings

    @property
    def without_stub(self) -> frozenset[str]:
        """The ARNs of the functions that had no stub of this stage at the last look."""
        return frozenset(arn for arn, state in self._states.items() if state is not _State.STUB)

    def _state(self, code: DeployedCode | None) -> _State:
        if code is None:
            return _State.GONE
        if self._stub.is_in(code):
            return _State.STUB
        return _State.REPLACED

    def _warning(self, name: str, state: _State, code: DeployedCode | None) -> Warned:
        if state is _State.STUB:
            text = f"{name} has this stage's stub again: its invocations run here."
            return Warned("stub-back", text, name)
        if state is _State.GONE or code is None:
            text = f"{name} does not exist any more: nothing of it runs here."
            return Warned("stub-replaced", text, name)
        by = (
            "a pipeline or a colleague, or `terralive restore`, has probably deployed the "
            "function's own code"
        )
        stage = stage_of(code.description)
        if stage is not None and stage != self._stub.stage:
            by = f"the function is live for stage {stage} now"
        elif code.handler in STUB_HANDLERS and code.size in STUB_BYTES:
            by = "another version of terralive has put its own stub there"
        when = ""
        if code.modified:
            when = f" at {code.modified}"
        text = (
            f"The stub of {name} was replaced{when}: {by}. Its invocations do not run here any"
            f" more. {_RESTART}"
        )
        return Warned("stub-replaced", text, name)


def _not_entered(account: str, reason: str) -> Warned:
    text = (
        f"terralive cannot see whether somebody replaces a stub in account {account}: "
        f"{reason.rstrip('.')}. Say in terralive.toml how to enter it: a `role_arn` or `profile` "
        f'in the table [accounts."{account}"].'
    )
    return Warned("stub-check-refused", text)


def _refused(refusal: str) -> Warned:
    text = (
        f"terralive cannot see whether somebody replaces a stub: {refusal.rstrip('.')}. It needs"
        " `lambda:GetFunctionConfiguration`, and for many functions `lambda:ListFunctions`."
    )
    return Warned("stub-check-refused", text)
