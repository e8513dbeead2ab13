"""Serves the extensions of all workers of one relay on 127.0.0.1.

Each worker has a port of its own for each of its extensions, which the extension's variable names.
Code that names the port itself uses the extension's port, which all workers share. There the
connection tells which worker asks: it belongs to a process of that worker. Where the system does
not tell that (macOS), the token does, or the port is good for one function only. What cannot be
told is refused: no function gets an answer with another one's credentials.

As on the ports of the Runtime API, other users of this machine and web pages are refused.
"""

from __future__ import annotations

import io
import itertools
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from terralive_workers import loopback
from terralive_workers.extensions import callers
from terralive_workers.extensions.answers import Answer, Log, Question, plain
from terralive_workers.extensions.appconfig import AppConfig
from terralive_workers.extensions.aws import WorkerClients
from terralive_workers.extensions.kinds import (
    APPCONFIG,
    PARAMETERS_AND_SECRETS,
    Extension,
    extensions_of,
)
from terralive_workers.extensions.parameters_and_secrets import ParametersAndSecrets, has_token
from terralive_workers.function import LocalFunction
from terralive_workers.process import Process
from terralive_workers.runtime_api.http_messages import (
    BadRequestError,
    Body,
    Request,
    Stream,
    format_response,
    read_head,
)
from terralive_workers.runtime_api.listeners import Listeners

_log: Final = logging.getLogger("terralive.workers")
_PORTS: Final = range(1, 65536)
_PROXIES: Final = ("NO_PROXY", "no_proxy")
_OTHERS_USER: Final = plain(403, "Another user of this machine runs this function.")
_WEB_PAGE: Final = plain(403, "A web page has no access to this extension.")
_NOT_TOLD: Final = plain(
    403,
    "terralive cannot tell which function asks. Read the port from "
    f"{PARAMETERS_AND_SECRETS.port_variable} or {APPCONFIG.port_variable}.",
)


class Answers(Protocol):
    """One extension of one worker."""

    def answer(self, question: Question) -> Answer:
        """Answer a request."""


@dataclass(eq=False)
class WorkerExtensions:
    """The extensions of one worker.

    Attributes:
        function: the ARN of the worker's function.
        environment: the worker's environment variables.
        variables: the environment variables that its extensions add.
        taken: ports that other programs have, so that the worker does not reach its extension
            there.
        shared: its extensions by the ports that workers share.
        own: its extensions by the keys of its own ports.
        process: its process; None before `attach`.
    """

    function: str
    environment: Mapping[str, str] = field(repr=False)
    variables: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[int, Extension]] = field(default_factory=list)
    shared: dict[int, Answers] = field(default_factory=dict)
    own: dict[str, Answers] = field(default_factory=dict)
    process: Process | None = None

    def attach(self, process: Process) -> None:
        """Serve this process, which has not started yet."""
        self.process = process

    @property
    def has_begun(self) -> bool:
        """True if the worker has had an invocation."""
        return self.process is not None and self.process.has_begun

    @property
    def session(self) -> int | None:
        """The session of its processes; None while it does not run."""
        if self.process is None:
            return None
        return self.process.pid


class Extensions:
    """The extensions of all workers of one relay. It listens only while a worker needs it."""

    def __init__(self) -> None:
        # Guards the attributes below it. Not held while a request is answered.
        self._lock = threading.Lock()
        # Accepts connections; None before the first worker with an extension.
        self._listeners: Listeners | None = None
        # The workers that have extensions, oldest first.
        self._workers: list[WorkerExtensions] = []
        # The shared ports that are open. They stay open.
        self._open: set[int] = set()
        # Numbers for the keys of workers' own ports.
        self._numbers = itertools.count(1)

    def open(
        self, function: LocalFunction, environment: Mapping[str, str], log: Log
    ) -> WorkerExtensions:
        """Serve the extensions of a worker, which has not started yet.

        Args:
            function: its function.
            environment: its environment variables.
            log: takes lines for the function's log.
        """
        worker = WorkerExtensions(function.arn, environment)
        clients = WorkerClients(environment)
        with self._lock:
            for extension in extensions_of(function):
                self._add(worker, extension, _answers(extension, worker, clients, log))
            if worker.own:
                self._workers.append(worker)
                worker.variables.update(_past_proxies(environment))
        return worker

    def close_worker(self, worker: WorkerExtensions) -> None:
        """Serve a worker no more."""
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
            if self._listeners is not None:
                for key in worker.own:
                    self._listeners.close_port(key)

    def close(self) -> None:
        """End every connection and every thread."""
        with self._lock:
            listeners, self._listeners = self._listeners, None
            self._workers.clear()
        if listeners is not None:
            listeners.close()

    def _add(self, worker: WorkerExtensions, extension: Extension, answers: Answers) -> None:
        """Open the ports of an extension of a worker. The lock is held."""
        if self._listeners is None:
            self._listeners = Listeners("extensions", self._serve)
        key = f"worker {next(self._numbers)}"
        address = self._listeners.open(key)
        worker.own[key] = answers
        worker.variables[extension.port_variable] = address.rpartition(":")[2]

        port = _port(worker.environment, extension)
        if port not in self._open:
            try:
                self._listeners.open(str(port), port)
            except OSError as error:
                _log.debug("port %d is not open: %s", port, error.strerror)
                worker.taken.append((port, extension))
                return
            self._open.add(port)
        worker.shared[port] = answers

    def _serve(self, connection: socket.socket, key: str) -> None:
        """Answer the requests of one connection: the thread `extensions-connection`."""
        is_own = loopback.is_own(connection)
        try:
            with io.BufferedReader(connection.makefile("rb", buffering=0)) as stream:
                goes_on = True
                while goes_on:
                    goes_on = self._serve_one(connection, stream, key, is_own=is_own)
        except (BadRequestError, OSError) as error:
            _log.debug("a connection to an extension ends: %s", error)

    def _serve_one(
        self, connection: socket.socket, stream: Stream, key: str, *, is_own: bool
    ) -> bool:
        """Answer one request. Return whether the connection stays open for another one."""
        request = read_head(stream)
        if request is None:
            return False
        Body(stream, request).read(0)
        answer = _OTHERS_USER
        if is_own:
            answer = self._answer(connection, request, key)
        goes_on = request.keep_alive and is_own
        connection.sendall(
            format_response(answer.status, answer.headers, answer.body, keep_alive=goes_on)
        )
        return goes_on

    def _answer(self, connection: socket.socket, request: Request, key: str) -> Answer:
        if request.is_of_web_page:
            return _WEB_PAGE
        question = Question.of(request)
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            if key in worker.own:
                return worker.own[key].answer(question)
        if not (key.isascii() and key.isdigit()):
            return _NOT_TOLD  # the worker has ended
        port = int(key)
        asking = _asking(
            [worker for worker in workers if port in worker.shared], connection, question
        )
        if asking is None:
            return _NOT_TOLD
        return asking.shared[port].answer(question)


def _asking(
    workers: Sequence[WorkerExtensions], connection: socket.socket, question: Question
) -> WorkerExtensions | None:
    """Return the worker that a connection to a shared port comes from; None if nothing tells it."""
    by_session = {worker.session: worker for worker in workers if worker.session is not None}
    session = callers.session_of_caller(connection, by_session)
    if session is not None:
        return by_session[session]
    for worker in workers:
        if has_token(question, worker.environment):
            return worker
    functions = {worker.function for worker in workers}
    if len(functions) == 1 and not callers.are_told():
        return workers[-1]
    return None


def _answers(
    extension: Extension, worker: WorkerExtensions, clients: WorkerClients, log: Log
) -> Answers:
    if extension is APPCONFIG:
        return AppConfig(worker.environment, clients, log)
    return ParametersAndSecrets(worker.environment, clients, lambda: worker.has_begun, log)


def _port(environment: Mapping[str, str], extension: Extension) -> int:
    """Return the port that an extension listens on in Lambda."""
    text = environment.get(extension.port_variable, "")
    if text.isascii() and text.isdigit() and int(text) in _PORTS:
        return int(text)
    return extension.port


def _past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that keep requests to localhost away from this machine's proxy."""
    variables: dict[str, str] = {}
    for name in _PROXIES:
        others = environment.get(name, "")
        variables[name] = ",".join(filter(None, (others, "localhost", "127.0.0.1")))
    return variables
