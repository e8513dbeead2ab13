"""Deployed code: unpack it, keep its execution environments, remove it when it is out of date.

Execution environments belong to one *revision*: one state of a function's code and configuration.
When either changes, the next invocation gets a new environment.
Python functions run on an interpreter of the version that they name, if this machine has one, and
Node.js functions on the `node` of PATH, whatever version they name; `provided.*` functions run
their own `bootstrap`. Images other than terralive's stub, and other runtimes, are answered with a
named error.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.functions import zip_files
from terralive_sandbox.functions.environments import layers, runtimes
from terralive_sandbox.functions.environments.builder import (
    DeployedCode,
    EnvironmentBuilder,
    log_settings,
)
from terralive_sandbox.functions.environments.fleet import Fleet
from terralive_sandbox.functions.environments.pythons import Pythons
from terralive_sandbox.functions.invoke_api import InvokeError, not_emulated
from terralive_workers.function import LocalFunction

_log = logging.getLogger("terralive.sandbox")

# An environment takes no invocation with older credentials. Lambda's own limit is not documented.
_CREDENTIAL_SECONDS: Final = 6 * 3600
# An environment that is not used for so long ends.
_IDLE_SECONDS: Final = 300.0
_REAP_INTERVAL_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0


class Deployments:
    """The revisions of functions that were invoked. It belongs to the event loop.

    Args:
        environments: starts execution environments.
        find: finds a function by its ARN; raises InvokeError if it does not exist.
        time_scale: what the lifetime of credentials is multiplied by.
    """

    def __init__(
        self,
        environments: EnvironmentBuilder,
        find: Callable[[str], LambdaFunction],
        *,
        time_scale: float,
    ) -> None:
        self._workspace = environments.workspace
        self._environments = environments
        self._find = find
        self._credential_seconds = _CREDENTIAL_SECONDS * time_scale
        # The interpreters of Python functions.
        self._pythons = Pythons(self._workspace.root / "python")
        # The revision that takes invocations, by the function's ARN (with its version, if any).
        self._current: dict[str, Fleet] = {}
        # Older revisions whose last environments are still running.
        self._retired: list[Fleet] = []
        # One lock per ARN: only one invocation at a time unpacks a function's code.
        self._unpacking: dict[str, asyncio.Lock] = {}
        # Ends idle environments. It starts with the first deployment.
        self._reaper: asyncio.Task[None] | None = None

    async def fleet_of(self, function: LambdaFunction) -> Fleet:
        """Return the execution environments of a function's present revision.

        Raises:
            InvokeError: the sandbox cannot run the function, or its zip file is damaged.
        """
        revision = _revision_of(function)
        arn = function.function_arn
        async with self._unpacking.setdefault(arn, asyncio.Lock()):
            current = self._current.get(arn)
            if current is not None and current.revision == revision:
                return current
            fleet = await self._deploy(function, revision)
            if current is not None:
                self._retire(current)
            self._current[arn] = fleet
        if self._reaper is None:
            self._reaper = asyncio.create_task(self._reap())
        _log.debug("a new revision of %s is unpacked", arn)
        return fleet

    async def close(self) -> None:
        """End every function process and wait until they are gone."""
        if self._reaper is not None:
            self._reaper.cancel()
        environments = []
        for fleet in [*self._current.values(), *self._retired]:
            environments.extend(fleet.close())
        for environment in environments:
            await asyncio.to_thread(environment.join, _STOP_SECONDS)

    async def _deploy(self, function: LambdaFunction, revision: object) -> Fleet:
        """Unpack a function's code and its layers."""
        _require_emulated(function)
        folder = self._workspace.new_folder(f"{function.function_name}-")
        # Code may be large: it is unpacked on another thread, so that the event loop goes on.
        try:
            code = await asyncio.to_thread(self._unpack, function, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Fleet(
            function,
            revision,
            folder,
            lambda: self._environments.build(function, code),
            credential_seconds=self._credential_seconds,
        )

    def _unpack(self, function: LambdaFunction, folder: Path) -> DeployedCode:
        """Unpack a function's code and its layers into a folder.

        Raises:
            InvokeError: the code or a layer is damaged, or the sandbox cannot run it.
        """
        runtime = str(function.run_time or "")
        handler = str(function.handler or "")
        task = folder / "task"
        task.mkdir()
        command: tuple[str, ...] = ()
        if function.package_type == "Image":
            runtimes.unpack_stub_image(task)
            # The command line of the image's Dockerfile.
            module = ("-m", "terralive_stub.container")
            command = (str(self._pythons.own), *module, *function.image_config.cmd)
        else:
            zip_files.unpack(function.code_bytes, task)
        opt: Path | None = None
        if function.layers:
            opt = folder / "opt"
            layers.unpack(function, opt)
        node = Path("node")
        if runtime.startswith("nodejs"):
            node = runtimes.find_node()
        local = LocalFunction(
            name=function.function_name,
            arn=function.function_arn,
            address=function.function_name,
            runtime=runtime,
            handler=handler,
            path=task,
            python=self._pythons.of(runtime, handler),
            node=node,
            command=command,
        )
        return DeployedCode(local, opt)

    def _retire(self, fleet: Fleet) -> None:
        fleet.retire()
        self._retired.append(fleet)
        self._remove_ended()

    def _remove_ended(self) -> None:
        """Remove the code of revisions whose last environment has ended."""
        for fleet in list(self._retired):
            if fleet.empty:
                self._retired.remove(fleet)
                shutil.rmtree(fleet.folder, ignore_errors=True)

    async def _reap(self) -> None:
        """End idle environments, and all environments of functions that were deleted."""
        while True:
            await asyncio.sleep(_REAP_INTERVAL_SECONDS)
            idle_since = asyncio.get_running_loop().time() - _IDLE_SECONDS
            # A copy, because deployments of deleted functions leave the dictionary.
            for arn, fleet in list(self._current.items()):
                try:
                    self._find(arn)
                except InvokeError:
                    _log.debug("%s was deleted; its execution environments end", arn)
                    del self._current[arn]
                    self._unpacking.pop(arn, None)
                    self._retire(fleet)
                else:
                    fleet.reap(idle_since)
            self._remove_ended()


def _revision_of(function: LambdaFunction) -> object:
    """Return everything that execution environments depend on, to be compared as a whole."""
    return (
        function.code_sha_256,
        function.handler,
        function.run_time,
        function.role,
        function.timeout,
        function.memory_size,
        sorted(function.environment_vars.items()),
        [str(layer) for layer in function.layers],
        function.logs_group_name,
        log_settings(function),
        function.image_config.response(),
        # A function that was deleted and created again is another one.
        id(function),
    )


def _require_emulated(function: LambdaFunction) -> None:
    """Raise InvokeError for a function that the sandbox cannot run."""
    if function.package_type == "Image":
        if not runtimes.is_stub_image(function):
            raise not_emulated("container images other than terralive's stub")
    elif not str(function.run_time).startswith(("python", "nodejs", "provided")):
        raise not_emulated(f"the runtime {function.run_time}")
