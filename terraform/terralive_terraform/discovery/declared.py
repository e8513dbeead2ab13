"""A Lambda function as the Terraform configuration declares it, read from its block. Pure.

What only Terraform can compute (a variable, an expression) is not known here: it is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_stub.shared.json_documents import Json, section, text
from terralive_terraform.addresses import (
    in_stack,
    short_address,
    spoken_name,
    stack_of,
    without_stack,
)
from terralive_terraform.discovery.block_values import block_values
from terralive_terraform.discovery.hcl.folders import dynamic_blocks, first_block
from terralive_terraform.discovery.hcl.scope import Scope
from terralive_terraform.images.source import ImageSource

if TYPE_CHECKING:
    from terralive_terraform.evaluation.planned import PlannedFunction

FUNCTION_TYPE: Final = "aws_lambda_function"
# Lambda's defaults:
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
_ARCHITECTURE: Final = "x86_64"
_PACKAGE_TYPE: Final = "Zip"
_TIMEOUT_SECONDS: Final = 3
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z]\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeclaredFunction:
    """One `aws_lambda_function` of the configuration. None says that there is none, or not known.

    Attributes:
        address: its address in the root module, without an instance key:
            `module.orders.aws_lambda_function.api`. Where functions of several stacks are looked at
            together, the name of the stack stands before it.
        label: its name within its module: `api`.
        handler: the handler, where it is a literal.
        runtime: the runtime, where it is a literal.
        path: the absolute local code folder, where the configuration names it.
        path_is_noted: whether a construct has noted that folder. Otherwise static reading has
            followed an archive, and a plan of the app knows better.
        timeout: seconds.
        function_name: the function's name, where it is a literal.
        written_name: `function_name` as its block has it, in Terraform's JSON syntax; "" where the
            block cannot be read.
        package_type: `Zip` or `Image`, where it is a literal.
        architecture: `x86_64` or `arm64`, where it is a literal.
        attributes: the names of the attributes and blocks that are set.
        undecided: the names of those of which only Terraform knows whether they are set.
        environment_names: the names of its environment variables, where they are literals.
        environment_known: whether these are all names. An expression may add others.
        ignored: the attributes and blocks that `lifecycle.ignore_changes` names, also in part;
            `all` for everything.
        code_elsewhere: whether its module is told that something else deploys its code.
        repeated: `count`, `for_each`, or None where it has neither.
        module_repeated: whether a module around it has `count` or `for_each`.
        provider: the provider alias that it uses (`aws.eu`).
        queue_visibilities: the visibility timeout of each queue that it polls, in seconds; None for
            one that is not known (see `evaluation.triggers`).
        gateways: the types of the API Gateway integrations that call it.
        streams: whether a function URL or a REST API takes streamed responses of it.
        stub: what the Aspect of a CDKTF program defines as its stub (see `substitution.aspect`);
            {} where no Aspect does.
        image: what the configuration says of its container image; None for a zip.
        instances: its instances, as a plan shows them; None where nothing was planned.
    """

    address: str
    label: str
    handler: str | None = None
    runtime: str | None = None
    path: Path | None = None
    path_is_noted: bool = False
    timeout: int = _TIMEOUT_SECONDS
    function_name: str | None = None
    written_name: str = ""
    package_type: str | None = _PACKAGE_TYPE
    architecture: str | None = _ARCHITECTURE
    attributes: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()
    environment_names: frozenset[str] = frozenset()
    environment_known: bool = True
    ignored: tuple[str, ...] = ()
    code_elsewhere: bool = False
    repeated: str | None = None
    module_repeated: bool = False
    provider: str | None = None
    queue_visibilities: tuple[int | None, ...] = ()
    gateways: tuple[str, ...] = ()
    streams: bool = False
    stub: Mapping[str, Json] = field(default_factory=dict)
    image: ImageSource | None = None
    instances: tuple[PlannedFunction, ...] | None = None

    @property
    def instanced(self) -> bool:
        """Tell whether it, or a module around it, is repeated."""
        return self.module_repeated or self.repeated is not None

    @property
    def is_image(self) -> bool:
        """Tell whether it is certainly a container image.

        The provider deletes and creates a function whose package type changes, with everything
        that depends on it: https://github.com/hashicorp/terraform-provider-aws/issues/43636.
        """
        if self.package_type == "Image":
            return True
        return not self.may_have("package_type") and "image_uri" in self.attributes

    def may_have(self, name: str) -> bool:
        """Tell whether an attribute or block is set, or may be set."""
        return name in self.attributes or name in self.undecided

    @property
    def names(self) -> frozenset[str]:
        """All names that a user may give it: address, deployed name, label, and as it is shown.

        Each of them may have the name of the stack before it, where the address has it.
        """
        address = without_stack(self.address)
        known = {address, self.label, short_address(address), spoken_name(address)}
        if self.function_name is not None:
            known.add(self.function_name)
        for instance in self.instances or ():
            if instance.name is not None:
                known.add(instance.name)
        stack = stack_of(self.address)
        return frozenset(known | {in_stack(stack, name) for name in known})

    def is_named(self, names: Iterable[str]) -> bool:
        """Tell whether one of `names` is one of its names."""
        return not self.names.isdisjoint(names)

    @property
    def shortest_visibility(self) -> int | None:
        """The shortest visibility timeout of its queues in seconds, None where one is not known.

        Meaningful only where `queue_visibilities` is not empty.
        """
        known = [seconds for seconds in self.queue_visibilities if seconds is not None]
        if len(known) < len(self.queue_visibilities):
            return None
        return min(known, default=None)

    @property
    def debug_timeout(self) -> int:
        """Seconds that an invocation may stay at a breakpoint: its timeout, raised if possible.

        Lambda refuses a queue as an event source if the queue's visibility timeout is shorter than
        the function's timeout:
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        """
        if {"timeout", "all"}.intersection(self.ignored):
            return self.timeout
        longest = FUNCTION_TIMEOUT_SECONDS
        if self.queue_visibilities:
            if self.shortest_visibility is None:
                return self.timeout
            longest = min(longest, self.shortest_visibility)
        return max(self.timeout, longest)


def declared_function(
    address: str, declared: Mapping[str, Json], scope: Scope | None = None
) -> DeclaredFunction:
    """Read a function from its block in Terraform's JSON syntax.

    Args:
        address: its address in the root module, without an instance key.
        declared: its block.
        scope: what the block refers to; None if nothing of that is known.

    The light `Function` construct notes the folder of the code under `//`, and the Aspect of a
    CDKTF program notes there what it defines as the function's stub.
    """
    values = block_values(declared, scope or Scope())
    block = values.block
    noted = section(section(block, "//"), "terralive")
    timeout = block.get("timeout")
    if isinstance(timeout, str) and timeout.isdecimal():
        timeout = int(timeout)
    if not isinstance(timeout, int):
        timeout = _TIMEOUT_SECONDS
    path = Path(text(noted, "path")) if text(noted, "path") else None
    names, names_known = _environment(block)
    return DeclaredFunction(
        address=address,
        label=address.rpartition(".")[2],
        handler=literal(_handler(block)),
        runtime=literal(text(block, "runtime")),
        path=path,
        path_is_noted=path is not None,
        timeout=timeout,
        function_name=literal(text(block, "function_name")),
        written_name=text(declared, "function_name"),
        package_type=literal(text(block, "package_type") or _PACKAGE_TYPE),
        architecture=_architecture(block.get("architectures")),
        attributes=values.is_set,
        undecided=values.undecided,
        environment_names=names,
        environment_known=names_known,
        ignored=_ignored(block),
        repeated=repetition(block),
        provider=_unquoted(block.get("provider")) or None,
        stub=section(noted, "stub"),
    )


def blocks(document: Mapping[str, Json], kind: str) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the label and the content of each block of one type."""
    for label, block in section(document, kind).items():
        if isinstance(block, dict):
            yield label, block


def literal(value: str) -> str | None:
    """Return a text without an expression; None for an empty one or one with an expression."""
    if not value or re.search(r"[$%]\{", value):
        return None
    return value


def _environment(block: Mapping[str, Json]) -> tuple[frozenset[str], bool]:
    """Return the names of the environment variables that are literals, and whether these are all.

    `variables` may be an expression (`merge(…)`, a module's variable), a name may be one, and a
    `dynamic` block may make the whole environment.
    """
    is_dynamic = any(name == "environment" for name, _ in dynamic_blocks(block))
    variables = first_block(block.get("environment")).get("variables", {})
    if not isinstance(variables, dict):
        return frozenset(), False
    names = frozenset(name for name in variables if _VARIABLE_NAME.fullmatch(name))
    return names, not is_dynamic and len(names) == len(variables)


def _handler(block: Mapping[str, Json]) -> str:
    """Return the handler; an image for one of Lambda's runtimes takes it as its command.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
    """
    handler = text(block, "handler")
    command = first_block(block.get("image_config")).get("command")
    if not handler and isinstance(command, list) and len(command) == 1:
        # With more than one word, the first one may be a program.
        (only,) = command
        if isinstance(only, str):
            return only
    return handler


def _architecture(value: Json) -> str | None:
    if value is None:
        return _ARCHITECTURE
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return literal(value[0])
    return None


def _ignored(block: Mapping[str, Json]) -> tuple[str, ...]:
    references = first_block(block.get("lifecycle")).get("ignore_changes")
    if not isinstance(references, list):
        references = [references]
    return tuple(_attribute(reference) for reference in references if reference)


def repetition(block: Mapping[str, Json]) -> str | None:
    """Return `count` or `for_each`; None for a block with neither."""
    for name in ("count", "for_each"):
        if block.get(name) is not None:
            return name
    return None


def _attribute(reference: Json) -> str:
    """Return the attribute or block that a reference is about.

    `image_config` of `image_config[0].command`.
    """
    return re.split(r"[.\[]", _unquoted(reference), maxsplit=1)[0]


def _unquoted(value: Json) -> str:
    if not isinstance(value, str):
        return ""
    return re.sub(r"^\$\{(.*)\}$", r"\1", value)
