"""Runs deployed functions: unpacked zips in real processes, under their role's credentials.

An execution environment belongs to one state of a function's code and configuration; when either
changes, the next invocation gets another one. Python functions run on this process's own
interpreter, whatever version they name; `provided.*` functions run their own `bootstrap`. Layers,
images other than terralive's stub, and other runtimes answer with a named error.

Everything but `find` and `allows` lives on the event loop.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.access import identity
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.faults import FAILURE, Kind
from terralive_sandbox.functions import stub_image as stubimage
from terralive_sandbox.functions.execution import ExecutionEnvironment, Setup
from terralive_sandbox.functions.isolation import isolated, namespace_command
from terralive_sandbox.functions.logs import FunctionLog, LogStream, Write, logging_config
from terralive_sandbox.functions.placement import Fleet, settle
from terralive_sandbox.functions.python_runtime import make_python
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_workers.environment import worker_environment
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.runtime_api import RuntimeApi

_TAIL_BYTES = 4096
_CREDENTIAL_SECONDS = 6 * 3600
_IDLE_SECONDS = 300.0
_REAP_SECONDS = 10.0
_STOP_SECONDS = 5.0
_NAME = re.compile(
    r"(?:arn:aws:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[\w-]+)(?::(?P<qualifier>[\w$-]+))?"
)
_ROOT = "terralive-sandbox-"


class InvokeError(Exception):
    """Lambda refuses an invocation.

    `code` and `status` are those of its Invoke API, `reason` that of a 429.
    """

    def __init__(self, code: str, message: str, status: int, *, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Result:
    """An invocation's end.

    `body` is the response or the error document, `log_tail` the last 4 KB of its log.
    """

    body: bytes
    function_error: bool
    executed_version: str
    log_tail: bytes


@dataclass(frozen=True, slots=True)
class _State:
    """One state of a function, its unpacked code and its environments."""

    fingerprint: str
    fleet: Fleet
    folder: Path


def new_trace() -> str:
    """A tracing header for a trace that begins now.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"


class Functions:
    """All functions of the sandbox's account.

    Args:
        endpoint: what functions see as `AWS_ENDPOINT_URL`.
        region: the sandbox's region.
        control: the control plane.
        write_log: takes a line of a log stream; must not block.
        time_scale: what waiting times are multiplied by; a function's own timeout is not.
        concurrency: how many executions the account may have at once; AWS gives most accounts
            1,000.
        on_invoke: names the fault that an invocation of a function is to meet, if any.
    """

    def __init__(
        self,
        endpoint: str,
        region: str,
        control: ControlPlane,
        write_log: Write,
        *,
        time_scale: float = 1.0,
        concurrency: int = 1000,
        on_invoke: Callable[[str], Kind | None] = lambda _: None,
    ) -> None:
        self.region = region
        self.time_scale = time_scale
        self._endpoint = endpoint
        self._control = control
        self._write_log = write_log
        self._concurrency = concurrency
        self._on_invoke = on_invoke
        self._api = RuntimeApi()
        self._namespace = namespace_command()
        # A private /tmp must not hide the code.
        parent = Path("/var/tmp" if self._namespace else tempfile.gettempdir())  # noqa: S108
        _remove_left_overs(parent)
        self._root = Path(tempfile.mkdtemp(prefix=f"{_ROOT}{os.getpid()}-", dir=parent))
        self._python = make_python(self._root / "python")
        self._local = {
            n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "MOTO_", "TERRALIVE_"))
        }
        self._states: dict[str, _State] = {}
        self._retired: list[_State] = []
        self._unpacking: dict[str, asyncio.Lock] = {}
        self._running: Counter[str] = Counter()
        self._reaper: asyncio.Task[None] | None = None
        self._closed = False

    def find(self, name_or_arn: str, qualifier: str | None = None) -> LambdaFunction:
        """Find a function by its name, its ARN or a part of it, each with or without a qualifier.

        Raises:
            InvokeError: ResourceNotFoundException.
        """
        found = _NAME.fullmatch(name_or_arn)
        here = (None, self.region), (None, identity.ACCOUNT)
        if found is not None and found["region"] in here[0] and found["account"] in here[1]:
            backend = lambda_backends[identity.ACCOUNT][self.region]
            with contextlib.suppress(JsonRESTError):
                function: LambdaFunction = backend.get_function(
                    found["name"], qualifier or found["qualifier"]
                )
                return function
        raise InvokeError("ResourceNotFoundException", f"Function not found: {name_or_arn}", 404)

    def allows(
        self, function: LambdaFunction, service: str, source_arn: str, arn: str = ""
    ) -> bool:
        """Whether the function's resource policy lets a service invoke it on behalf of `source_arn`.

        `arn` is what is invoked, with its qualifier, where that is not the function itself.
        """
        context = {"aws:SourceArn": source_arn, "aws:SourceAccount": identity.ACCOUNT}
        decision = self.decides(
            function, "lambda:InvokeFunction", (service,), arn or function.function_arn, context
        )
        return decision is Decision.ALLOWED

    def decides(
        self,
        function: LambdaFunction,
        action: str,
        principals: tuple[str, ...],
        arn: str,
        context: Mapping[str, str],
    ) -> Decision:
        """What the function's resource policy says of a request by any of these names (`*`.

        Anybody).
        """
        document = json.dumps({"Statement": function.policy.statements})
        return decide([document], AccessRequest(action, (arn,), principals, context))

    async def invoke(
        self, function: LambdaFunction, event: bytes, *,
        arn: str = "", request_id: str = "", client_context: str = "", trace_id: str = "",
    ) -> Result:  # fmt: skip
        """Run a function and wait for its end. Without an id or a trace it gets new ones.

        Raises:
            InvokeError: it cannot be run at all.
        """
        if len(event) > SYNCHRONOUS_PAYLOAD_BYTES:
            raise InvokeError(
                "RequestTooLargeException",
                f"{len(event)} byte payload is too large for the RequestResponse invocation type "
                f"(limit {SYNCHRONOUS_PAYLOAD_BYTES} bytes)", 413,
            )  # fmt: skip
        request_id = request_id or str(uuid.uuid4())

        def invocation(seconds: float) -> Invocation:
            return Invocation(
                request_id, function.function_name, arn or function.function_arn,
                int((time.time() + seconds) * 1000), event or b"{}",
                trace_id=trace_id or new_trace(),
                client_context=client_context,
            )  # fmt: skip

        match self._on_invoke(function.function_name):
            case Kind.THROTTLE:
                raise InvokeError("TooManyRequestsException", "Rate Exceeded.", 429)
            case Kind.FAIL:
                return Result(
                    FAILURE,
                    function_error=True,
                    executed_version=str(function.version),
                    log_tail=b"",
                )
        with self._counted(function):
            state = await self._state(function)
            placed = await state.fleet.run(invocation)
        outcome = placed.ending.outcome
        tail = "".join(f"{line}\n" for line in placed.log_tail).encode()[-_TAIL_BYTES:]
        return Result(outcome.body, not outcome.ok, str(function.version), tail)

    @contextmanager
    def _counted(self, function: LambdaFunction) -> Iterator[None]:
        """Hold one of the account's and the function's concurrent executions.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
        """
        if self._closed:
            raise InvokeError("ServiceException", "The sandbox is stopping.", 500)
        name = function.function_name
        reserved = self.find(name).reserved_concurrency
        if reserved is not None and self._running[name] >= int(reserved):
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            raise InvokeError("TooManyRequestsException", "Rate Exceeded.", 429, reason=reason)
        if self._running.total() >= self._concurrency:
            reason = "ConcurrentInvocationLimitExceeded"
            raise InvokeError("TooManyRequestsException", "Rate Exceeded.", 429, reason=reason)
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]

    async def close(self) -> None:
        """End every function process and remove the unpacked code."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        states = [*self._states.values(), *self._retired]
        await settle(
            [environment for state in states for environment in state.fleet.close()], _STOP_SECONDS
        )
        await asyncio.to_thread(self._api.close)
        shutil.rmtree(self._root, ignore_errors=True)

    async def _state(self, function: LambdaFunction) -> _State:
        fingerprint = _fingerprint(function)
        state = self._states.get(function.function_arn)
        if state is not None and state.fingerprint == fingerprint:
            return state
        async with self._unpacking.setdefault(function.function_arn, asyncio.Lock()):
            state = self._states.get(function.function_arn)
            if state is not None and state.fingerprint == fingerprint:
                return state
            made = await self._make_state(function, fingerprint)
            if state is not None:
                self._retire(state)
            self._states[function.function_arn] = made
            if self._reaper is None:
                self._reaper = asyncio.create_task(self._reap())
            return made

    async def _make_state(self, function: LambdaFunction, fingerprint: str) -> _State:
        _require_emulated(function)
        folder = Path(tempfile.mkdtemp(dir=self._root, prefix=f"{function.function_name}-"))
        command: tuple[str, ...] = ()
        if function.package_type == "Image":
            await asyncio.to_thread(stubimage.unpack, folder)
            command = stubimage.command(self._python, function.image_config.cmd)
        else:
            try:
                await asyncio.to_thread(_unpack, function.code_bytes, folder)
            except zipfile.BadZipFile as error:
                message = "Could not unzip uploaded file. Please check your file, then try to upload again."
                raise InvokeError("InvalidZipFileException", message, 502) from error
        local = LocalFunction(
            name=function.function_name, address=function.function_name, runtime=str(function.run_time or ""),
            handler=str(function.handler or ""), path=folder, python=self._python, command=command,
        )  # fmt: skip
        fleet = Fleet(
            lambda: self._make_environment(function, local),
            version=str(function.version), memory=int(function.memory_size), timeout=float(function.timeout),
            credential_seconds=_CREDENTIAL_SECONDS * self.time_scale,
        )  # fmt: skip
        return _State(fingerprint, fleet, folder)

    async def _make_environment(
        self, function: LambdaFunction, local: LocalFunction
    ) -> ExecutionEnvironment:
        keys = await asyncio.wrap_future(
            self._control.call(identity.assume, function.role, function.function_name, self.region)
        )
        name = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{function.version}]{uuid.uuid4().hex}"
        documents = identity.role_documents(function.role)
        log = FunctionLog(LogStream(function.logs_group_name, name, documents), self._write_log)
        scratch = Path(tempfile.mkdtemp(dir=self._root, prefix="tmp-"))
        remote = self._variables(function, name, keys)

        def variables(runtime_api: str) -> Mapping[str, str]:
            found = worker_environment(remote, local, runtime_api, self._local, live=False)
            found["TMPDIR"] = "/tmp" if self._namespace else str(scratch)  # noqa: S108 - its own
            return found

        launch = launch_of(local)
        command = isolated(launch.command, local.path, scratch, self._namespace)
        setup = Setup(command, launch.own_port, local.path, scratch, variables, log, time.time())
        return ExecutionEnvironment(setup, self._api)

    def _variables(
        self, function: LambdaFunction, stream: str, keys: identity.Keys
    ) -> dict[str, str]:
        return {
            **{str(name): str(value) for name, value in function.environment_vars.items()},
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            **_log_settings(function),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_SESSION_TOKEN": keys.session_token,
            "AWS_ENDPOINT_URL": self._endpoint,
        }

    def _retire(self, state: _State) -> None:
        state.fleet.retire()
        self._retired.append(state)
        self._clear_away()

    def _clear_away(self) -> None:
        """Remove the code of states whose last environment has ended."""
        for state in [state for state in self._retired if state.fleet.empty]:
            self._retired.remove(state)
            shutil.rmtree(state.folder, ignore_errors=True)

    async def _reap(self) -> None:
        """End what has waited for long, and what belongs to functions that are gone."""
        while True:
            await asyncio.sleep(_REAP_SECONDS)
            for arn, state in list(self._states.items()):
                with contextlib.suppress(InvokeError):
                    self.find(arn)
                    state.fleet.reap(asyncio.get_running_loop().time() - _IDLE_SECONDS)
                    continue
                del self._states[arn]
                self._unpacking.pop(arn, None)
                self._retire(state)
            self._clear_away()


def _require_emulated(function: LambdaFunction) -> None:
    what = ""
    if function.package_type == "Image":
        what = "" if stubimage.is_stub(function) else "container images other than terralive's stub"
    elif not str(function.run_time).startswith(("python", "provided")):
        what = f"the runtime {function.run_time}"
    if what or function.layers:
        raise InvokeError(
            "NotEmulatedBySandbox",
            f"terralive's sandbox does not emulate {what or 'layers'} yet.",
            501,
        )


def _log_settings(function: LambdaFunction) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html."""
    config = logging_config(function)
    if config.get("LogFormat") != "JSON":
        return {}
    return {
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": config.get("ApplicationLogLevel") or "INFO",
    }


def _fingerprint(function: LambdaFunction) -> str:
    state = (
        function.code_sha_256, function.handler, function.run_time, function.role, function.timeout,
        function.memory_size, sorted(function.environment_vars.items()), [str(layer) for layer in function.layers],
        function.logs_group_name, sorted(_log_settings(function).items()), function.image_config.response(),
        id(function),
    )  # fmt: skip
    return hashlib.sha256(repr(state).encode()).hexdigest()


def _remove_left_overs(parent: Path) -> None:
    """What sandboxes that were killed have left."""
    for folder in parent.glob(f"{_ROOT}*"):
        pid = folder.name.removeprefix(_ROOT).partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # somebody else's


def _unpack(code: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            mode = (entry.external_attr >> 16) & 0o777
            if mode:
                path.chmod(mode | 0o700 if entry.is_dir() else mode | 0o600)


def invoke_headers(result: Result, *, tail: bool) -> dict[str, str]:
    """The response headers of the Invoke API."""
    headers = {
        "content-type": "application/json",
        "x-amz-executed-version": result.executed_version,
    }
    if result.function_error:
        headers["x-amz-function-error"] = "Unhandled"
    if tail:
        headers["x-amz-log-result"] = base64.b64encode(result.log_tail).decode()
    return headers
