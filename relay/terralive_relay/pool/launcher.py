"""Builds the processes of one function's workers, and publishes what they print.

It must never log or publish an environment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_relay.events import LogLine, Sink, Warned
from terralive_relay.pool import messages
from terralive_relay.pool.debug_port import DebugPort
from terralive_workers.environment import left_out, worker_environment
from terralive_workers.extensions.kinds import Extension
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.layers.view import search_paths
from terralive_workers.node import known_options, without_layer_files
from terralive_workers.process import Process
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import WorkerClient

# A function has fewer variables. Whoever sends other names every time gets no more warnings.
_MOST_TOLD: Final = 1000


class Launcher:
    """Builds worker processes. Only `close` blocks.

    Args:
        function: the function that workers run.
        api: the Runtime API that they connect to.
        sink: takes their output as `LogLine`s.
        command: a program to run instead of terralive's bootstrap; None for that.

    Raises:
        ConfigurationError: no worker can run this function's runtime, or its debugger's port is in
            use.
    """

    def __init__(
        self,
        function: LocalFunction,
        api: RuntimeApi,
        sink: Sink,
        command: Sequence[str] | None,
    ) -> None:
        self._function = function
        self._api = api
        self._sink = sink
        self._command = command
        launch_of(function, command)  # fails at once where no worker can run
        # Names of the variables, and ports, that the user was told about. No more variables are
        # added after `_MOST_TOLD`. The pool's lock guards it, and the next two.
        self._told: set[str] = set()
        # Ports of extensions that other programs have, as the last workers have met them.
        self._taken: list[tuple[int, Extension]] = []
        # Whether the user was told that a worker goes on after its answer. Output threads set it.
        self._told_late = False
        # About options that the last workers run without.
        self._about_options: list[Warned] = []
        # Open as long as the pool is, where the function is debugged.
        self._debug_port: DebugPort | None = None
        # Has the folders of links to parts of layers. Made for the first one.
        self._links: tempfile.TemporaryDirectory[str] | None = None
        if function.debugger is not None:
            self._debug_port = DebugPort(function.shown_name, function.debugger.port)

    def build(
        self,
        environment: Mapping[str, str],
        client: WorkerClient,
        on_exit: Callable[[int | OSError], None],
    ) -> Process:
        """Build a process that has not started yet, and let it into the Runtime API.

        Args:
            environment: the function's environment variables.
            client: answers the worker's calls of the Runtime API.
            on_exit: called once, from the process's thread, after the process has ended and left
                the Runtime API. Takes what `Process` takes.
        """
        port = 0
        if self._debug_port is not None:
            port = self._debug_port.for_worker()
        # Each time: an edit may have turned TypeScript into JavaScript, or the other way round.
        launch = launch_of(
            self._function, self._command, port, node_options=environment.get("NODE_OPTIONS", "")
        )
        worker_id, runtime_api = self._api.register(client, own_port=launch.own_port)
        variables = worker_environment(
            environment,
            self._function,
            runtime_api,
            os.environ,
            search_paths=search_paths(self._function, self._new_folder),
        )
        if self._command is None and not self._function.command and "NODE_OPTIONS" in variables:
            variables["NODE_OPTIONS"] = self._node_options(variables["NODE_OPTIONS"])
        extensions = self._api.extensions.open(self._function, variables, self._log_of_extension)
        self._taken += extensions.taken

        def exited(status: int | OSError) -> None:
            self._api.unregister(worker_id)
            self._api.extensions.close_worker(extensions)
            on_exit(status)

        def emitted(request_id: str, line: str, stream: str) -> None:
            self._publish(request_id, line, stream)
            if not request_id and process.has_answered:
                self._tell_late_output()

        process = Process(
            launch.command,
            cwd=self._function.path,
            environment={**variables, **extensions.variables},
            guardian=self._api.guardian,
            emit=emitted,
            on_exit=exited,
        )
        extensions.attach(process)
        return process

    def _node_options(self, given: str) -> str:
        """Return the options by which a worker can start. Note warnings about the others."""
        options, of_layers = without_layer_files(given)
        options, unknown = known_options(self._function.node, options)
        for option in of_layers:
            self._about_options.append(messages.option_of_layer(self._function, option))
        for option in unknown:
            self._about_options.append(messages.option_unknown(self._function, option))
        return options

    def warnings(self, environment: Mapping[str, str]) -> list[Warned]:
        """Return warnings about ports that are taken, options, and variables that are left out.

        Each is told only once.
        """
        warnings: list[Warned] = []
        for port, extension in self._taken:
            if str(port) not in self._told:
                self._told.add(str(port))
                warnings.append(messages.port_taken(self._function, port, extension))
        self._taken.clear()
        for warning in self._about_options:
            if warning.message not in self._told:
                self._told.add(warning.message)
                warnings.append(warning)
        self._about_options.clear()
        if len(self._told) >= _MOST_TOLD:
            return warnings
        found = left_out(environment, self._function, os.environ)
        news = found.without(self._told)
        self._told.update(found.names, found.in_lambda)
        return warnings + messages.variables_left_out(self._function, news)

    def close(self) -> None:
        """Close the debugger's port. All workers have ended."""
        if self._debug_port is not None:
            self._debug_port.close()
        if self._links is not None:
            self._links.cleanup()

    def _new_folder(self) -> Path:
        """Make an empty folder for links to parts of layers."""
        if self._links is None:
            self._links = tempfile.TemporaryDirectory(prefix="terralive-layers-")
        return Path(tempfile.mkdtemp(dir=self._links.name))

    def _tell_late_output(self) -> None:
        """Tell once that a worker goes on after its answer."""
        if not self._told_late:
            self._told_late = True
            self._sink(messages.output_after_answer(self._function))

    def _log_of_extension(self, line: str) -> None:
        """Publish a line of an extension, as CloudWatch has it in the function's log."""
        self._publish("", line, "stderr")

    def _publish(self, request_id: str, line: str, stream: str) -> None:
        # Python's runtime separates the lines of a stack trace with carriage returns, so that the
        # trace stays one log event.
        for part in line.split("\r"):
            self._sink(LogLine(request_id, self._function.shown_name, part, stream))
