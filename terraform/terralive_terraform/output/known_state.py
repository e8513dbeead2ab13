"""A state that is read when it is first needed, and only once, because a backend may be slow."""

from __future__ import annotations

from collections.abc import Callable

from terralive_stub.shared.json_documents import Json, as_object
from terralive_terraform.output.state import (
    DeployedFunction,
    DeployedLambda,
    OutputValue,
    ResourceInstance,
    deployed_functions,
    deployed_lambda,
    managed_instances,
    outputs_in,
)


class KnownState:
    """The state of one configuration.

    Args:
        read: reads it; None where there is none.
    """

    def __init__(self, read: Callable[[], Json]) -> None:
        self._read = read
        # The state as it was read. It means nothing while `_is_known` is false.
        self._document: Json = None
        self._is_known = False

    def forget(self) -> None:
        """Let the next question read the state again."""
        self._is_known = False

    def outputs(self) -> dict[str, OutputValue]:
        """Return the outputs by their names."""
        return outputs_in(self._known())

    def functions(self) -> dict[str, DeployedFunction]:
        """Return each deployed Lambda function by its address, with instance keys and modules."""
        return dict(deployed_functions(self._known()))

    def functions_and_aliases(self) -> DeployedLambda:
        """Return the Lambda functions and aliases."""
        return deployed_lambda(self._known())

    def instances(self) -> dict[str, ResourceInstance]:
        """Return each managed resource instance by its address."""
        return {instance.address: instance for instance in managed_instances(self._known())}

    def version(self) -> str:
        """Return what every change of it changes; "" where there is none.

        https://developer.hashicorp.com/terraform/internals/json-format
        """
        document = as_object(self._known())
        return f"{document.get('lineage', '')} {document.get('serial', '')}".strip()

    def is_empty(self) -> bool:
        """Return whether it holds no resource that a destroy would have to remove."""
        return not any(managed_instances(self._known()))

    def _known(self) -> Json:
        if not self._is_known:
            self._document = self._read()
            self._is_known = True
        return self._document
