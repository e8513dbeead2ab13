"""The debug stack of a stage: what exists of it, its plan, and its outputs once it is deployed.

`opened` looks before anything is created (`look.py`). A debug stack whose Terraform state is not
here is used as it is, where it belongs to the same project and has the same settings. Otherwise it
is imported into the state here, and then changed or removed like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from terralive_cli.deploy import record
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.plans import ReadyPlan, apply, apply_always, applying, planned
from terralive_cli.deploy.target import Stage
from terralive_cli.joining import broker_code
from terralive_cli.joining.applied import Applied, is_as_applied, write_mark
from terralive_cli.joining.concurrency import broker_concurrency, low_limit
from terralive_cli.joining.decision import IMAGE_REPOSITORY
from terralive_cli.joining.demands import (
    custom_stack,
    project_of,
    stack_settings,
    wishes_of,
)
from terralive_cli.joining.description import StackDescription
from terralive_cli.joining.inventory import AwsInventory
from terralive_cli.joining.look import Existing, look
from terralive_cli.output.events import Emit
from terralive_cli.output.progress import Phase
from terralive_relay.events import Warned
from terralive_stub.errors import TerraliveError
from terralive_stub.protocol.token import SECRET_BYTES
from terralive_stub.protocol.wire import VERSION as PROTOCOL
from terralive_terraform.debug_stack import adoption
from terralive_terraform.debug_stack.configuration import (
    configuration_hash,
    importing,
    resources_in,
    write_configuration,
    write_values,
)
from terralive_terraform.debug_stack.settings import (
    DebugStackSettings,
)
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.state import ResourceInstance
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.side_by_side.beside import Beside

# Two developers may have made two APIs with one name at the same moment, so a destroy looks again.
_MOST_DESTROYS: Final = 3
_BROKER: Final = "aws_lambda_function.broker"


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
        image_repository: the repository of the stub's image; "" for none.
        stub_bucket: the bucket of the stub's zip; "" where an older version of terralive has
            deployed the debug stack.
    """

    stub_url: str
    relay_url: str
    table_name: str
    broker_name: str
    secret: bytes = field(repr=False, default=NO_SECRET)
    image_repository: str = ""
    stub_bucket: str = ""

    @classmethod
    def of(cls, texts: Mapping[str, str], secret: bytes = NO_SECRET) -> Self:
        """Return the outputs that Terraform, or a description, has by name."""
        return cls(
            stub_url=texts.get("stub_url", ""),
            relay_url=texts.get("relay_url", ""),
            table_name=texts.get("table_name", ""),
            broker_name=texts.get("broker_name", ""),
            secret=secret,
            image_repository=texts.get(IMAGE_REPOSITORY, ""),
            stub_bucket=texts.get("stub_bucket", ""),
        )


@dataclass(frozen=True, slots=True)
class DebugStack:
    """A debug stack; see `opened`.

    Attributes:
        stage: the stage that it belongs to.
        phase: reports its progress.
        settings: its settings.
        directory: the folder of its configuration.
        terraform: Terraform in that folder.
        inventory: the account.
        existing: what existed of it when it was opened.
        trusts_mark: whether it needs no plan where it is as the last plan from here has left it.
    """

    stage: Stage
    phase: Phase
    settings: DebugStackSettings
    directory: Path
    terraform: Terraform
    inventory: AwsInventory
    existing: Existing
    trusts_mark: bool = False

    @classmethod
    def opened(
        cls,
        stage: Stage,
        *,
        joins: bool = True,
        needs_images: bool = False,
        trusts_mark: bool = False,
    ) -> DebugStack:
        """Write the configuration, and look for what exists.

        Args:
            stage: the stage.
            joins: whether a debug stack without a state here is used as it is, if possible.
            needs_images: whether functions need the stub as a container image. A repository that
                exists stays until the debug stack is destroyed: an image in it may be in use.
            trusts_mark: whether it needs no plan where it is as the last plan from here has left
                it; see `joining.applied`.

        Raises:
            StageHeldError, ConfigurationError, CredentialsError: see `look.look`.
            ConfigurationError: `broker-concurrency`.
        """
        phase = Phase("debug-stack", stage.emit)
        # A repository that exists has to be found.
        settings = replace(stack_settings(stage), has_images=True)
        with phase.step("synth"):
            directory = write_configuration(
                settings,
                stage.target.work / "debug-stack",
                custom_stack(stage),
                environment=stage.environment,
            )
        terraform = stage.debug_stack_terraform(directory, phase)
        if settings.backend is not None:
            _init(terraform, phase)
        inventory = AwsInventory(stage.target.caller)
        with phase.step("look"):
            instances = terraform.state.instances()
            existing = look(
                project_of(stage, settings, needs_images=needs_images),
                settings,
                resources_in(directory),
                instances,
                inventory,
                joins=joins,
            )
            has_images = needs_images or _has_images(existing, instances)
            settings = replace(settings, has_images=has_images)
            if joins:
                settings = _with_concurrency(stage, settings, inventory, existing)
            write_values(settings, directory)
        if settings.backend is None and not existing.is_joined:
            _init(terraform, phase)
        return cls(stage, phase, settings, directory, terraform, inventory, existing, trusts_mark)

    def with_images(
        self, planning: Beside[ReadyPlan], open_plans: ExitStack
    ) -> tuple[DebugStack, Beside[ReadyPlan]]:
        """Return the debug stack with a repository for the stub's image, and its plan.

        Args:
            planning: the plan of this debug stack. It is left where it has no repository.
            open_plans: holds the new plan.

        Raises:
            TerraliveError: see `opened`.
        """
        if self.settings.has_images:
            return self, planning
        planning.close()
        debug_stack = DebugStack.opened(self.stage, needs_images=True)
        return debug_stack, open_plans.enter_context(debug_stack.planned_beside())

    @property
    def emit(self) -> Emit:
        """Shows events."""
        return self.stage.emit

    def forget_state(self) -> None:
        """Read the state anew: something else has changed it."""
        self.terraform.state.forget()

    def opened_again(self) -> DebugStack:
        """Return the debug stack after another look: something else has changed its state.

        Raises:
            TerraliveError: see `opened`.
        """
        return DebugStack.opened(self.stage, needs_images=self.settings.has_images)

    def outputs(self) -> DebugStackOutputs | None:
        """Read the outputs and the secret of the deployed debug stack; None where there is none.

        Raises:
            TerraliveError: `debug-stack-made-twice`.
            CredentialsError: the caller may not read the secret.
        """
        self._require_one()
        outputs = self._outputs()
        if outputs is None:
            return None
        secret = self.stage.target.caller.secret(outputs.table_name)
        return replace(outputs, secret=secret or NO_SECRET)

    def _outputs(self) -> DebugStackOutputs | None:
        """Return the outputs alone; None where there is no debug stack, or an incomplete one."""
        texts = self._output_texts()
        if not all(name in texts for name in _OUTPUTS):
            return None
        return DebugStackOutputs.of(texts)

    @contextmanager
    def planned(self) -> Iterator[ReadyPlan]:
        """Plan the debug stack; see `plans.planned`. One that is joined has no changes.

        One that is as the last plan has left it has none, too, where that is trusted.

        Raises:
            TerraliveError: `debug-stack-made-twice`.
        """
        self._require_one()
        if self.existing.is_joined or self._is_as_applied():
            unchanged = TerraformPlan((), has_changes=False, file=self.directory / "unplanned")
            yield ReadyPlan(unchanged, self.terraform, self.phase)
            return
        with (
            importing(self.directory, self.existing.imports, updates=True),
            planned(self.stage, self.terraform, self.phase) as ready,
        ):
            yield ready

    def planned_beside(self) -> Beside[ReadyPlan]:
        """Plan the debug stack on another thread, beside the app; see `planned`.

        It begins when the app's `terraform init` is over. Its events are shown when its plan is
        waited for.
        """
        return Beside(self.planned(), self.stage.runs, self.phase.held().release)

    def apply(self, ready: ReadyPlan, deployed: DebugStackOutputs | None) -> DebugStackOutputs:
        """Apply a plan of the debug stack, make its secret, and describe it in its table.

        Args:
            ready: the plan.
            deployed: the outputs before it; None where there were none.

        Raises:
            TerraliveError: `debug-stack-incomplete`, `broker-outdated`; also what `plans.apply`
                raises.
            CredentialsError: the caller may not write or read the table.
        """
        if self.existing.is_joined:
            self.phase.unchanged(_joined(self.existing.description))
        else:
            mark = record.debug_stack(self.stage.target.work)
            ended_well = mark.exists()
            mark.unlink(missing_ok=True)
            apply(ready)
            if self.existing.has_broker and not ended_well:
                self._put_broker_right()
        if deployed is None or deployed.secret == NO_SECRET or ready.plan.has_changes:
            outputs = self._outputs_with_secret()
        else:
            outputs = deployed
        if not self.existing.is_joined:
            self._describe(outputs.table_name)
            write_mark(record.debug_stack(self.stage.target.work), self._applied())
        return outputs

    def _put_broker_right(self) -> None:
        """Update the broker's code, where the last apply may have failed.

        Raises:
            TerraliveError: `broker-outdated`.
        """
        broker = self.terraform.state.functions().get(_BROKER)
        if broker is not None:
            target = self.stage.target
            client = Accounts(target.caller).client("lambda", broker.account, target.region)
            broker_code.put_right(client, broker, self.directory)

    def _outputs_with_secret(self) -> DebugStackOutputs:
        """Read the outputs, and make the secret unless there is one."""
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

        What the state here lacks is imported into it first, because the plan of a destroy ignores
        `import` blocks. Where another state has made the debug stack that is in use, only the one
        in the state here is removed.
        """
        existing = self.existing
        for _ in range(_MOST_DESTROYS):
            if not existing.in_state and not existing.imports:
                break
            if existing.imports:
                self._import(existing)
            with applying(self.phase):
                self.terraform.destroy()
            if existing.of_another_state:
                return True
            existing = self._look_again()
        if existing is self.existing:
            self.phase.unchanged("there is none")
            return False
        return True

    def _import(self, existing: Existing) -> None:
        """Take resources that exist into the state here, and change nothing of them."""
        unknown = adoption.unknown(resources_in(self.directory))
        if unknown:
            self.stage.emit(
                Warned(
                    reference="debug-stack-resources-stay",
                    message="The state of the debug stack is not here. Resources that your own "
                    "class adds cannot be found without it and stay: " + ", ".join(unknown),
                )
            )
        with (
            importing(self.directory, existing.imports, updates=False),
            planned(self.stage, self.terraform, self.phase) as ready,
        ):
            apply_always(ready)

    def _look_again(self) -> Existing:
        return look(
            project_of(self.stage, self.settings),
            self.settings,
            resources_in(self.directory),
            self.terraform.state.instances(),
            AwsInventory(self.stage.target.caller),
            joins=False,
        )

    def _output_texts(self) -> Mapping[str, str]:
        """Return the outputs that are texts: of the description, or of the state here."""
        description = self.existing.description
        if self.existing.is_joined and description is not None:
            return description.outputs
        texts: dict[str, str] = {}
        for name, output in self.terraform.state.outputs().items():
            if isinstance(output.value, str):
                texts[name] = output.value
        return texts

    def _is_as_applied(self) -> bool:
        """Tell whether it is as the last plan from here has left it, and this is trusted."""
        if not self.trusts_mark or self.existing.imports or custom_stack(self.stage) is not None:
            return False
        if not self.existing.in_state or self.existing.description != self._described():
            return False
        return is_as_applied(record.debug_stack(self.stage.target.work), self._applied())

    def _applied(self) -> Applied:
        configuration = configuration_hash(self.settings, self.directory)
        return Applied(configuration, self._described(), self.terraform.state.version())

    def _describe(self, table: str) -> None:
        """Write the description into the table, unless it is there."""
        description = self._described()
        if description != self.existing.description:
            self.inventory.put_description(table, description)

    def _described(self) -> StackDescription:
        """Return the description that the table is to have."""
        known = self.existing.description
        owner, created = self.settings.owner, self.settings.created
        if known is not None:
            owner, created = known.owner, known.created
        return StackDescription(
            app=self.settings.app,
            stage=self.settings.stage,
            source=self.settings.source,
            owner=owner,
            created=created,
            version=self.settings.version,
            protocol=PROTOCOL,
            wishes=wishes_of(self.stage),
            outputs=self._output_texts(),
        )

    def _require_one(self) -> None:
        """Check that the state here is that of the debug stack in use."""
        other = self.existing.description
        if other is None or not self.existing.of_another_state:
            return
        raise TerraliveError(
            "debug-stack-made-twice",
            f"The debug stack of {self.stage.name} was made twice at the same time. "
            f"{other.owner}'s is complete; the state here has parts of another one.",
            hint="`terralive destroy` removes only these parts. `terralive start` then uses "
            f"{other.owner}'s debug stack.",
        )


def _init(terraform: Terraform, phase: Phase) -> None:
    with phase.step("init"):
        terraform.ensure_init()


def _joined(description: StackDescription | None) -> str:
    if description is None:
        return ""
    return f"deployed by {description.owner} on {description.created}, used as it is"


def _with_concurrency(
    stage: Stage, settings: DebugStackSettings, inventory: AwsInventory, existing: Existing
) -> DebugStackSettings:
    """Return the settings with the broker's reserved concurrency, and warn of a low limit."""
    account = inventory.concurrency()
    warning = low_limit(account, settings.region)
    if warning is not None:
        stage.emit(warning)
    if existing.is_joined:
        return settings
    reserved = broker_concurrency(
        settings.broker_concurrency, account, existing.reserved, exists=existing.has_broker
    )
    return replace(settings, broker_concurrency=reserved)


def _has_images(existing: Existing, instances: Mapping[str, ResourceInstance]) -> bool:
    """Tell whether there is a repository for the stub's image."""
    description = existing.description
    if description is not None and description.outputs.get(IMAGE_REPOSITORY):
        return True
    known = [item.address for item in existing.imports]
    return any(address.startswith(f"{adoption.IMAGES}.") for address in (*known, *instances))
