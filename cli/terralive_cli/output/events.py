"""Events of the command line itself, beside the relay's.

`terralive_relay.events` holds the base class and the events of the relay. `--output json` prints
every event as a JSON object; the formats `rich` and `plain` print it as text. The field names are
the names in JSON, and scripts rely on them: fields may be added, and none may be renamed or
removed.

No event carries a credential, except `ready`: it holds the sandbox's keys, which open nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from terralive_relay.events import Event
from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import stack_of
from terralive_workers.function import LocalCode, LocalFunction

if TYPE_CHECKING:
    from terralive_sandbox.info import SandboxInfo  # heavy: `--help` must not wait for it


class Emit(Protocol):
    """Shows events to the user. The same warning in one call is shown only once."""

    def __call__(self, *events: Event) -> None: ...


class StepState(StrEnum):
    """State of one step of Terraform."""

    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TerraformProgress(Event):
    """Progress of Terraform.

    Attributes:
        phase: part of the work: `debug-stack`, `app`, `restore`, `destroy`, …
        action: `init`, `synth`, `plan`, `apply`, `note`; for one resource (`address` is set)
            `create`, `update`, `delete`, `replace`, `read`; and one that ends the phase: `complete`
            or `unchanged` (nothing had to change).
        state: state of the action.
        address: Terraform address of the resource; "" if the action is about no single resource.
        message: a sentence for the terminal.
        total: with `plan` done: number of resources that will change.
        elapsed_s: seconds since the start of the action (or, with `complete`, of the phase).
        stack: name of the stack, where several stacks of a CDKTF program are live; else None.
    """

    type = "stack"
    phase: str
    action: str
    state: StepState = StepState.DONE
    address: str = ""
    message: str = ""
    total: int | None = None
    elapsed_s: float | None = None
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """The deployed code of a live function, which answers where nobody is connected.

    Attributes:
        version: number of the published version that has it; None where it is published yet, and
            where there is none.
        reason: why it does not answer; "" if it does.
        stale: settings of the function that have changed since the version was published, by
            their names in Lambda (`Environment`).
        renewed: whether a version with the settings of now takes the place of that version.
        own_code_first: why the function, which is not deployed, gets its own code before the stub
            (`fallback = true`); "" where it does not.
    """

    version: str | None = None
    reason: str = ""
    stale: tuple[str, ...] = ()
    renewed: bool = False
    own_code_first: str = ""


@dataclass(frozen=True, slots=True)
class LiveFunction:
    """A function that runs here, as events show it.

    Attributes:
        name: name of the function in other events, which is its name on AWS, with the region or
            the account where two live functions have the same one; "" before its first deployment.
        address: Terraform address; `STACK/ADDRESS` where several stacks are live.
        runtime: its runtime (`python3.12`).
        handler: its local handler.
        path: folder of its local code.
        debug_port: port on 127.0.0.1 to which a debugger attaches; 0 for none.
        timeout_s: timeout to which the deployed one is raised, in seconds; 0 if it stays.
        arn: its ARN; "" before its first deployment.
        found_by: how its local code was found; "" where only its deployed name selects a setting.
        note: a note about that code, perhaps with lines for terralive.toml; "" for none.
        triggers: the services that invoke it (`SQS`), as far as the plan shows them.
        fallback: its deployed code, in the event of a plan; None elsewhere.
        stack: name of its stack, where several stacks are live; else None.
        by_api: why terralive changes its code by Lambda's API, in a plan; "" where Terraform does.
    """

    name: str
    address: str
    runtime: str
    handler: str
    path: str
    debug_port: int = 0
    timeout_s: int = 0
    arn: str = ""
    found_by: str = ""
    note: str = ""
    triggers: tuple[str, ...] = ()
    fallback: Fallback | None = None
    stack: str | None = None
    by_api: str = ""

    @classmethod
    def of(
        cls,
        code: LocalCode,
        *,
        timeout_s: int = 0,
        found_by: str = "",
        note: str = "",
        triggers: tuple[str, ...] = (),
        by_api: str = "",
        fallback: Fallback | None = None,
    ) -> LiveFunction:
        """Return the entry of a function: a `LocalFunction` where its deployed name is known."""
        name, arn, debug_port = "", "", 0
        if isinstance(code, LocalFunction):
            name, arn = code.shown_name, code.arn
            if code.debugger is not None:
                debug_port = code.debugger.port
        return cls(
            name=name,
            address=code.address,
            runtime=code.runtime,
            handler=code.handler,
            path=str(code.path),
            debug_port=debug_port,
            timeout_s=timeout_s,
            arn=arn,
            found_by=found_by,
            note=note,
            triggers=triggers,
            fallback=fallback,
            stack=stack_of(code.address) or None,
            by_api=by_api,
        )


@dataclass(frozen=True, slots=True)
class NotLiveFunction:
    """A function that stays as it is, as events show it.

    Attributes:
        address: Terraform address; `STACK/ADDRESS` where several stacks are live.
        reason: why it stays as it is.
        key: attribute or block of its configuration that keeps it from being live; "" for none.
        add: lines to add to terralive.toml to make it live; () where none would.
        stack: name of its stack, where several stacks are live; else None.
    """

    address: str
    reason: str
    key: str = ""
    add: tuple[str, ...] = ()
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A change of one resource, as events show it.

    Attributes:
        address: Terraform address of the resource; `STACK/ADDRESS` where several stacks are live.
        action: `create`, `update`, `delete`, `replace`, `forget` (it leaves the state only),
            `import`, `move`.
        resource_type: type of the resource.
        attributes: names of the attributes that an `update` changes.
        stack: name of its stack, where several stacks are live; else None.
    """

    address: str
    action: str
    resource_type: str
    attributes: tuple[str, ...] = ()
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class PlanMade(Event):
    """A plan that makes functions live: the whole of it in one object, for all stacks.

    Attributes:
        stage: name of the stage.
        functions: the functions that would become live.
        refused: the functions that stay as they are, by address, each with the reason and with what
            to set, in one text.
        changes: number of resources that Terraform would change in the app; None where it has made
            no plan. Then the functions are those that are known without one.
        not_live: the same functions as in `refused`, each with reason and settings apart.
        other_changes: everything that the plan changes beside the code of live functions. An event
            `changes` follows with the same list, where there is any; two, if only some of the
            stacks are deployed already.
        first: true if the app is not deployed yet, and all of it is created.
        project: folder of the project, which the paths of local code are shown relative to.
    """

    type = "plan"
    stage: str
    functions: tuple[LiveFunction, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    changes: int | None = 0
    not_live: tuple[NotLiveFunction, ...] = ()
    other_changes: tuple[ResourceChange, ...] = ()
    first: bool = False
    project: str = ""


@dataclass(frozen=True, slots=True)
class TerraformOutput(Event):
    """A plan as Terraform itself prints it, on request.

    Attributes:
        phase: part of the work: `debug-stack` or `app`.
        text: Terraform's text, of several lines.
        stack: name of the stack, where several stacks are live; else None.
    """

    type = "terraform"
    phase: str
    text: str
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class ChangesListed(Event):
    """Everything that a plan changes beside the code of live functions.

    Attributes:
        stage: name of the stage.
        changes: the changes.
        first: true if the app is not deployed yet, and all of it is created.
        destroys_app: true if the plan removes the whole app.
    """

    type = "changes"
    stage: str
    changes: tuple[ResourceChange, ...]
    first: bool = False
    destroys_app: bool = False


@dataclass(frozen=True, slots=True)
class SandboxAccess:
    """Address and keys of the sandbox.

    Attributes:
        endpoint: URL of all AWS services.
        region: its AWS region.
        access_key_id: access key id that it accepts.
        secret_access_key: secret access key; it opens nothing else.
    """

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def of(cls, info: SandboxInfo) -> SandboxAccess:
        return cls(info.endpoint, info.region, info.access_key_id, info.secret_access_key)


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """The functions are live: the next invocation runs here.

    It comes again when a changed configuration was applied meanwhile.

    Attributes:
        stage: name of the stage.
        functions: the live functions; empty if a sandbox alone is ready.
        outputs: outputs of the app, without sensitive ones. Where several stacks are live, the name
            of the stack stands before each name (`orders/url`).
        urls: outputs that are URLs, as they answer from this machine.
        sandbox: the sandbox that the stage is in; None on AWS.
        region: the region of the stage; None if a sandbox alone is ready.
        account: the id of the AWS account; None in a sandbox.
        account_alias: its alias; None if it has none, or if it was not asked for.
        schedules: the expressions of the app's rules and schedules of EventBridge
            (`rate(5 minutes)`), by their names.
        in_background: true if the command leaves its terminal now (`--detach`).
    """

    type = "ready"
    stage: str
    functions: tuple[LiveFunction, ...]
    outputs: Mapping[str, Json] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    sandbox: SandboxAccess | None = None
    region: str | None = None
    account: str | None = None
    account_alias: str | None = None
    schedules: Mapping[str, str] | None = None
    in_background: bool = False


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The error that ended the command, or what a key has begun while functions are live.

    Attributes:
        reference: kebab-case name of the error.
        message: what is wrong, and where.
        hint: what to do next.
    """

    type = "error"
    reference: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The command has stopped, as the user or the sandbox wanted.

    Attributes:
        stage: name of the stage.
        live: true if the functions are still stubs.
        message: what that means, and what to do next.
    """

    type = "stopped"
    stage: str
    live: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class ConfigurationChanged(Event):
    """Configuration files were saved while functions are live. Nothing is planned or changed.

    Attributes:
        files: the files that differ from what the last plan has read, relative to the project; ()
            where all changes were taken back.
        key: the key that plans and applies the change, on a terminal; "" where only the next
            command takes it.
    """

    type = "configuration-changed"
    files: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Message(Event):
    """A sentence for the user (`Nothing to restore`).

    Attributes:
        message: the sentence, or several lines.
    """

    type = "note"
    message: str
