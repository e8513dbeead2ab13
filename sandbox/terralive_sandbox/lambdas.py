"""Runs deployed functions: unpacked zips in real processes, under their role's credentials.

An execution environment belongs to one state of a function's code and configuration; when either changes, the next
invocation gets another one and the old one ends with its last invocation. The interpreter is this process's own,
whatever Python version a function names. Layers, images and other runtimes answer with a named error.

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
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError

from terralive_relay.functions import LocalFunction
from terralive_relay.pool import Pool
from terralive_relay.runtime_api import RuntimeApi
from terralive_stub.invocation import Invocation, Outcome
from terralive_stub.limits import ASYNCHRONOUS_PAYLOAD_BYTES, SYNCHRONOUS_PAYLOAD_BYTES

from . import identity
from .logs import FunctionLog
from .policy import AccessRequest, Decision, decide

_TAIL_BYTES = 4096
_CREDENTIAL_SECONDS = 6 * 3600
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
_RETRY_AFTER_SECONDS = (60.0, 120.0)
_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d+:function:(?P<name>[^:]+)(?::(?P<qualifier>[^:]+))?")


class InvokeError(Exception):
    """Lambda refuses an invocation; `code` and `status` are those of its Invoke API."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Result:
    """An invocation's end: `body` is the response or the error document, `log_tail` the last 4 KB of its log."""

    body: bytes
    function_error: bool
    executed_version: str
    log_tail: bytes


@dataclass(eq=False)
class _Environment:
    """The pool of one state of a function."""

    fingerprint: str
    pool: Pool
    log: FunctionLog
    folder: Path
    variables: dict[str, str] = field(repr=False)
    made: float
    running: int = 0
    retired: bool = False


class Functions:
    """All functions of the sandbox's account.

    Args:
        endpoint: what functions see as `AWS_ENDPOINT_URL`.
        region: the sandbox's region.
        write_log: takes `(group, stream, lines, role_documents)`; must not block.
        time_scale: what waiting times are multiplied by.
    """

    def __init__(self, endpoint: str, region: str, write_log: FunctionLog.Write, *, time_scale: float = 1.0) -> None:
        self._endpoint = endpoint
        self._region = region
        self._write_log = write_log
        self._time_scale = time_scale
        self._api = RuntimeApi()
        self._root = Path(tempfile.mkdtemp(prefix="terralive-sandbox-"))
        self._local = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "MOTO_", "TERRALIVE_"))}
        # Guards the two below it.
        self._lock = threading.Lock()
        self._environments: dict[str, _Environment] = {}
        self._closed = False
        self._retries: set[asyncio.Task[None]] = set()

    def find(self, name_or_arn: str, qualifier: str | None = None) -> LambdaFunction:
        """Raises InvokeError(ResourceNotFoundException)."""
        match = _ARN.fullmatch(name_or_arn)
        name = match["name"] if match else name_or_arn
        qualifier = qualifier or (match["qualifier"] if match else None)
        try:
            function: LambdaFunction = lambda_backends[identity.ACCOUNT][self._region].get_function(name, qualifier)
        except JsonRESTError as error:
            message = f"Function not found: {name_or_arn}"
            raise InvokeError("ResourceNotFoundException", message, 404) from error
        return function

    def allows(self, function: LambdaFunction, service: str, source_arn: str) -> bool:
        """Whether the function's resource policy lets a service invoke it on behalf of `source_arn`."""
        document = json.dumps({"Statement": function.policy.statements})
        request = AccessRequest(
            "lambda:InvokeFunction", (function.function_arn,), (service,),
            {"aws:SourceArn": source_arn, "aws:SourceAccount": identity.ACCOUNT},
        )  # fmt: skip
        return decide([document], request) is Decision.ALLOWED

    async def invoke(
        self, function: LambdaFunction, event: bytes, *, arn: str = "", request_id: str = "", client_context: str = ""
    ) -> Result:
        """Run a function and wait for its end.

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
        environment = await asyncio.to_thread(self._enter, function)
        try:
            invocation = Invocation(
                request_id, function.function_name, arn or function.function_arn,
                int(time.time() * 1000) + int(function.timeout) * 1000,
                event or b"{}", environment.variables,
                trace_id=f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
                client_context=client_context,
            )  # fmt: skip
            environment.log.start(request_id, str(function.version))
            result = await asyncio.wrap_future(environment.pool.submit(invocation))
            lines = environment.log.end(request_id, result.handler_ms, int(function.memory_size), result.outcome)
        finally:
            await asyncio.to_thread(self._leave, environment)
        outcome = _within_limit(result.outcome)
        tail = "".join(f"{line}\n" for line in lines).encode()[-_TAIL_BYTES:]
        return Result(outcome.body, not outcome.ok, str(function.version), tail)

    async def deliver(self, name_or_arn: str, event: bytes, *, request_id: str = "") -> None:
        """Run a function asynchronously: an error is retried twice, then logged as lost.

        Raises:
            InvokeError: there is no such function, or the event is too large.
        """
        if len(event) > ASYNCHRONOUS_PAYLOAD_BYTES:
            message = f"{len(event)} byte payload is too large for the Event invocation type"
            raise InvokeError("RequestTooLargeException", message, 413)
        self.find(name_or_arn)
        task = asyncio.create_task(self._deliver(name_or_arn, event, request_id or str(uuid.uuid4())))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _deliver(self, name_or_arn: str, event: bytes, request_id: str) -> None:
        attempts = self._attempts(name_or_arn)
        why = ""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(_RETRY_AFTER_SECONDS[attempt - 1] * self._time_scale)
            try:
                result = await self.invoke(self.find(name_or_arn), event, request_id=request_id)
            except InvokeError as error:
                why = error.message
                continue
            if not result.function_error:
                return
            why = result.body.decode("utf-8", "replace")[:500]
        sys.stderr.write(f"asynchronous invocation {request_id} of {name_or_arn} failed {attempts} times: {why}\n")

    def _attempts(self, name_or_arn: str) -> int:
        with contextlib.suppress(InvokeError):
            for config in self.find(name_or_arn).event_invoke_config:
                return 1 + int(config.config.get("MaximumRetryAttempts", 2))
        return 1 + len(_RETRY_AFTER_SECONDS)

    def running(self) -> int:
        with self._lock:
            return sum(environment.running for environment in self._environments.values())

    def close(self) -> None:
        """End every function process and remove the unpacked code."""
        with self._lock:
            self._closed = True
            environments = list(self._environments.values())
            self._environments.clear()
        for environment in environments:
            environment.pool.close()
        self._api.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _enter(self, function: LambdaFunction) -> _Environment:
        fingerprint = _fingerprint(function)
        expired = time.time() - _CREDENTIAL_SECONDS
        retired = None
        with self._lock:
            if self._closed:
                raise InvokeError("ServiceException", "The sandbox is stopping.", 500)
            environment = self._environments.get(function.function_arn)
            limit = function.reserved_concurrency
            if (limit is not None and environment is not None and environment.running >= int(limit)) or limit == 0:
                raise InvokeError("TooManyRequestsException", "Rate Exceeded.", 429)
            if environment is None or environment.fingerprint != fingerprint or environment.made < expired:
                if environment is not None:
                    environment.retired = True
                    retired = environment if not environment.running else None
                environment = self._make(function, fingerprint)
                self._environments[function.function_arn] = environment
            environment.running += 1
        if retired is not None:
            _close(retired)
        return environment

    def _leave(self, environment: _Environment) -> None:
        with self._lock:
            environment.running -= 1
            over = environment.retired and not environment.running
        if over:
            _close(environment)

    def _make(self, function: LambdaFunction, fingerprint: str) -> _Environment:
        runtime = str(function.run_time)
        if function.package_type != "Zip" or not runtime.startswith("python"):
            what = "container images" if function.package_type != "Zip" else f"the runtime {runtime}"
            raise InvokeError("NotEmulatedBySandbox", f"terralive's sandbox does not emulate {what} yet.", 501)
        if function.layers:
            raise InvokeError("NotEmulatedBySandbox", "terralive's sandbox does not emulate layers yet.", 501)
        folder = Path(tempfile.mkdtemp(dir=self._root, prefix=f"{function.function_name}-"))
        try:
            _unpack(function.code_bytes, folder)
        except zipfile.BadZipFile as error:
            message = "Could not unzip uploaded file. Please check your file, then try to upload again."
            raise InvokeError("InvalidZipFileException", message, 502) from error
        now = time.gmtime()
        stream = f"{time.strftime('%Y/%m/%d', now)}/[{function.version}]{uuid.uuid4().hex}"
        documents = identity.role_documents(function.role)
        log = FunctionLog(function.logs_group_name, stream, documents, self._write_log)
        variables = self._variables(function, stream)
        local = LocalFunction(
            name=function.function_name, address=function.function_name, runtime=runtime,
            handler=str(function.handler), path=folder, python=Path(sys.executable), max_workers=1000,
        )  # fmt: skip
        pool = Pool(local, self._api, log.sink, environment=variables, local_environment=self._local, live=False)
        return _Environment(fingerprint, pool, log, folder, variables, time.time())

    def _variables(self, function: LambdaFunction, stream: str) -> dict[str, str]:
        keys = identity.assume(function.role, function.function_name, self._region)
        return {
            **{str(name): str(value) for name, value in function.environment_vars.items()},
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "LAMBDA_TASK_ROOT": "/var/task",
            "_HANDLER": str(function.handler),
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_SESSION_TOKEN": keys.session_token,
            "AWS_ENDPOINT_URL": self._endpoint,
        }


def _fingerprint(function: LambdaFunction) -> str:
    state = (
        function.code_sha_256, function.handler, function.run_time, function.role, function.timeout,
        function.memory_size, sorted(function.environment_vars.items()), [str(layer) for layer in function.layers],
        id(function),
    )  # fmt: skip
    return hashlib.sha256(repr(state).encode()).hexdigest()


def _close(environment: _Environment) -> None:
    environment.pool.close()
    shutil.rmtree(environment.folder, ignore_errors=True)


def _unpack(code: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            mode = (entry.external_attr >> 16) & 0o777
            if mode:
                (folder / entry.filename).chmod(mode | 0o700 if entry.is_dir() else mode | 0o600)


def _within_limit(outcome: Outcome) -> Outcome:
    limit = SYNCHRONOUS_PAYLOAD_BYTES + 100
    if len(outcome.body) <= limit:
        return outcome
    message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
    error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return Outcome(json.dumps(error).encode(), "Function.ResponseSizeTooLarge")


def invoke_headers(result: Result, *, tail: bool) -> dict[str, str]:
    """The response headers of the Invoke API."""
    headers = {"content-type": "application/json", "x-amz-executed-version": result.executed_version}
    if result.function_error:
        headers["x-amz-function-error"] = "Unhandled"
    if tail:
        headers["x-amz-log-result"] = base64.b64encode(result.log_tail).decode()
    return headers
