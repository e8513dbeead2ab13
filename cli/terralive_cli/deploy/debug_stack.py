"""The debug stack of a stage: its settings, its plan, and what it says of itself once deployed."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Final

from terralive_cli.deploy import record
from terralive_cli.deploy.plans import ReadyPlan, apply, apply_always, planned
from terralive_cli.deploy.target import Stage
from terralive_cli.output.progress import Phase
from terralive_stub.errors import TerraliveError
from terralive_stub.protocol.token import SECRET_BYTES
from terralive_terraform.debug_stack.configuration import write_configuration
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings
from terralive_terraform.runs.runner import Terraform

# The secret of a stage that has none yet: its app is planned with it to find mistakes.
NO_SECRET: Final = bytes(SECRET_BYTES)
_OUTPUTS: Final = ("stub_url", "relay_url", "table_name", "broker_name")


@dataclass(frozen=True, slots=True)
class DebugStackOutputs:
    """Outputs of a deployed debug stack, and the stage's secret.

    Attributes:
        stub_url: the WebSocket URL that stubs connect to.
        relay_url: the WebSocket URL that relays connect to.
        table_name: the name of the DynamoDB table.
        broker_name: the name of the broker function.
        secret: the secret of all tokens. It is in the table, and in no output of Terraform.
    """

    stub_url: str
    relay_url: str
    table_name: str
    broker_name: str
    secret: bytes = field(repr=False, default=NO_SECRET)


@dataclass(frozen=True, slots=True)
class DebugStack:
    """A debug stack; see `opened`.

    Attributes:
        stage: the stage that it belongs to.
        phase: reports its progress.
        terraform: Terraform in its folder.
    """

    stage: Stage
    phase: Phase
    terraform: Terraform

    @classmethod
    def opened(cls, stage: Stage) -> DebugStack:
        """Write the configuration, and run `terraform init` where that is necessary."""
        phase = Phase("debug-stack", stage.emit)
        with phase.step("synth"):
            directory = write_configuration(
                _settings(stage), stage.target.work / "debug-stack", environment=stage.environment
            )
        terraform = stage.debug_stack_terraform(directory, phase)
        return cls(stage, phase, terraform)

    def outputs(self) -> DebugStackOutputs | None:
        """Read the outputs and the secret of the deployed debug stack; None where there is none.

        Raises:
            CredentialsError: the caller may not read the secret.
        """
        outputs = self._outputs()
        if outputs is None:
            return None
        secret = self.stage.target.caller.secret(outputs.table_name)
        return replace(outputs, secret=secret or NO_SECRET)

    def _outputs(self) -> DebugStackOutputs | None:
        """Read the outputs alone; None where there is no debug stack, or an incomplete one."""
        outputs = self.terraform.outputs()
        texts: dict[str, str] = {}
        for name in _OUTPUTS:
            output = outputs.get(name)
            if output is None or not isinstance(output.value, str):
                return None
            texts[name] = output.value
        return DebugStackOutputs(
            stub_url=texts["stub_url"],
            relay_url=texts["relay_url"],
            table_name=texts["table_name"],
            broker_name=texts["broker_name"],
        )

    def planned(self) -> AbstractContextManager[ReadyPlan]:
        """Plan the debug stack; see `plans.planned`."""
        return planned(self.stage, self.terraform, self.phase)

    def apply(self, ready: ReadyPlan) -> DebugStackOutputs:
        """Apply a plan of the debug stack, make its secret, and read the outputs.

        Raises:
            TerraliveError: `debug-stack-incomplete`; also what `plans.apply` raises.
            CredentialsError: the caller may not make or read the secret.
        """
        apply(ready)
        outputs = self._outputs()
        if outputs is None:
            raise TerraliveError(
                "debug-stack-incomplete",
                "The debug stack has been applied but lacks some of its outputs.",
                hint="Run `terralive destroy` and start again.",
            )
        secret = self.stage.target.caller.create_secret(outputs.table_name)
        return replace(outputs, secret=secret)

    def destroy(self) -> bool:
        """Remove the debug stack. Return whether there was one.

        Raises:
            TerraliveError: `debug-stack-elsewhere`: there is one, but its state is not here.
        """
        if self.terraform.is_empty():
            self._require_no_broker()
            self.phase.unchanged("there is none")
            return False
        with planned(self.stage, self.terraform, self.phase, destroy=True) as ready:
            apply_always(ready)
        return True

    def _require_no_broker(self) -> None:
        """Check that no debug stack is deployed whose state is elsewhere."""
        broker = _settings(self.stage).name("broker")
        target = self.stage.target
        if target.caller.has_function(broker):
            raise TerraliveError(
                "debug-stack-elsewhere",
                f"The debug stack of {self.stage.name} is deployed in {target.name} (its broker is "
                f"{broker}), but its Terraform state is not here.",
                hint="Run this where it was deployed from, or bring that folder's .terralive here. "
                "A [backend] in terralive.toml keeps the state where every machine finds it.",
            )


def _settings(stage: Stage) -> DebugStackSettings:
    config = stage.config
    # The date of the first plan stays: another tag at every run would be a change.
    known = record.load(stage.target.work, today=today())
    record.save(stage.target.work, known)
    backend = None
    # The sandbox's state is a file that is removed with the sandbox.
    if config.backend is not None and stage.target.sandbox is None:
        backend = BackendSettings(config.backend.type, config.backend.config)
    return DebugStackSettings(
        app=config.app,
        stage=config.stage,
        region=stage.target.region,
        owner=config.user,
        created=known.created,
        version=version("terralive"),
        endpoints=stage.target.endpoints,
        identity_source=stage.target.identity_source,
        backend=backend,
        **asdict(config.debug_stack),
    )


def today() -> str:
    """Return the ISO date of this day in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()
