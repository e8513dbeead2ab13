"""Runs a Python Lambda handler on this machine as Lambda's managed Python runtime does.

Started by terralive with the project's own interpreter: `python python_bootstrap.py
package/module.function`. One self-contained file, standard library only, any CPython from 3.9 on:
nothing of it, and nothing it needs, is ever installed in the project. It asks the Runtime API at
`AWS_LAMBDA_RUNTIME_API` for invocations, calls the handler, and answers exactly as `awslambdaric`
does (held against it in tests/contract/workers/test_python_runtime.py). A handler module may take
over the Runtime API while it is imported and never come back.

It must never put its own folder on `sys.path`, its own frames in a stack trace, or its own words in
a log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
import re
import socket
import sys
import time
import traceback

TYPE_CHECKING = False  # `typing` is not worth its import to a process that somebody waits for
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO, TextIO

MAX_LINE = 1 << 20
VERSION = "/2018-06-01/runtime"


class Fault(Exception):  # noqa: N818 - a fault is reported by its own type, not by this class's name
    """Something that the runtime itself finds fault with, named as the Runtime API names it."""

    def __init__(self, error_type: str, message: str, trace: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


# The Runtime API


class RuntimeGone(Exception):  # noqa: N818 - a state of affairs, not an error
    """The Runtime API has closed the connection: this worker is no longer wanted."""


class Runtime:
    """The Runtime API over one kept-alive connection.

    By hand, because `http.client` takes longer to import.
    """

    def __init__(self, address: str) -> None:
        host_port, _, prefix = address.partition("/")
        host, _, port = host_port.rpartition(":")
        self._host = host_port
        self._prefix = ("/" + prefix if prefix else "") + VERSION
        self._to = (host, int(port))
        self._socket: socket.socket | None = None
        self._stream: BinaryIO | None = None

    def next(self) -> tuple[Mapping[str, str], bytes]:
        """Block until there is an invocation; returns (headers in lower case, event bytes)."""
        return self._call("GET", "/invocation/next")

    def respond(self, request_id: str, body: bytes, content_type: str) -> None:
        self._call(
            "POST", f"/invocation/{request_id}/response", body, {"Content-Type": content_type}
        )

    def fail(self, request_id: str, document: bytes, cause: str) -> None:
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Function-Error-Type": "Unhandled",
        }
        if len(cause) < MAX_LINE:
            headers["Lambda-Runtime-Function-XRay-Error-Cause"] = cause
        self._call("POST", f"/invocation/{request_id}/error", document, headers)

    def fail_init(self, document: bytes, error_type: str, cause: str) -> None:
        headers = {"Lambda-Runtime-Function-Error-Type": error_type}
        if len(cause) < MAX_LINE:
            headers["Lambda-Runtime-Function-XRay-Error-Cause"] = cause
        self._call("POST", "/init/error", document, headers)

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[Mapping[str, str], bytes]:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", "Host: " + self._host]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        try:
            if self._socket is None or self._stream is None:
                self._socket = socket.create_connection(self._to)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream = self._socket.makefile("rb")
            self._socket.sendall(head + body)
            return self._answer(self._stream)
        except OSError as error:
            raise RuntimeGone from error

    @staticmethod
    def _answer(stream: BinaryIO) -> tuple[Mapping[str, str], bytes]:
        if not stream.readline(MAX_LINE):
            raise RuntimeGone
        headers: dict[str, str] = {}
        while True:
            line = stream.readline(MAX_LINE).strip()
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("utf-8", "replace")
        return headers, stream.read(int(headers.get("content-length", 0)))


# JSON, by the rules of the managed runtime: Decimals as numbers, bytes as text, named tuples as
# objects


def _writes_unicode() -> bool:
    """From python3.12 on, the managed runtime writes characters as they are and no longer as escapes."""
    version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    return version.isdigit() and int(version) >= 12  # noqa: PLR2004 - python3.12


class Encoder:
    """Writes what a handler returned."""

    def __init__(self) -> None:
        self._unicode = _writes_unicode()
        self._mark = "terralive-number-" + os.urandom(8).hex() + ":"
        self._marked = False

    def encode(self, value: object) -> str:
        if _has_exotic(value):
            value = _plain(value)
        self._marked = False
        try:
            text = json.JSONEncoder(ensure_ascii=not self._unicode, default=self._default).encode(
                value
            )
        except TypeError as error:  # a key's type is named without its module
            raise TypeError(
                re.sub(r"^(keys must be .* not )[\w.]+\.", r"\1", str(error))
            ) from error
        except (
            RecursionError
        ) as error:  # the managed runtime's own encoder says so from Python 3.12 on
            told = str(error).replace("encoding a JSON object", "calling a Python object")
            raise RecursionError(told if sys.version_info >= (3, 12) else str(error)) from error
        if self._marked:
            text = re.sub('"' + self._mark + '([^"]*)"', r"\1", text)
        return text

    def _default(self, value: object) -> object:
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if value.is_nan():
                return math.nan
            self._marked = True
            return f"{self._mark}{value}"
        if isinstance(value, bytes):
            return value.decode("utf-8")
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _is_named_tuple(value: object) -> bool:
    return isinstance(value, tuple) and callable(getattr(value, "_asdict", None))


def _has_exotic(value: object) -> bool:
    """Whether the standard encoder would write some part of `value` in another way than the managed runtime."""
    todo: list[object] = [value]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        inside: Iterable[object] = ()
        if isinstance(item, dict):
            if any(isinstance(key, bytes) for key in item):
                return True
            inside = item.values()
        elif isinstance(item, (list, tuple)):
            if _is_named_tuple(item):
                return True
            inside = item
        todo.extend(part for part in inside if isinstance(part, (dict, list, tuple)))
    return False


def _plain(value: object, above: tuple[int, ...] = ()) -> object:
    if isinstance(value, (dict, list, tuple)):
        if id(value) in above:
            raise ValueError("Circular reference detected")
        above = (*above, id(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {
            (k.decode("utf-8") if isinstance(k, bytes) else k): _plain(v, above)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(part, above) for part in value]
    return value


# Breakpoints


class Debugging:
    """What `terralive start --debug` asks for."""

    freeze_time = False


def let_debugger_in(wanted: Mapping[str, object]) -> None:
    """Open a port for debuggers, and wait for one if asked.

    debugpy may be terralive's own: it is loaded from its folder, and nothing else from beside it
    ever is.
    """
    from importlib import util  # noqa: PLC0415 - only a debugged worker pays for it

    Debugging.freeze_time = bool(wanted["freeze_time"])
    spec = util.spec_from_file_location(
        "debugpy",
        os.path.join(str(wanted["debugpy"]), "__init__.py"),  # noqa: PTH118
    )
    if spec is None or spec.loader is None:
        raise Fault("Terralive.Debugger", f"There is no debugpy in {wanted['debugpy']}")
    debugpy = sys.modules["debugpy"] = util.module_from_spec(spec)
    try:
        spec.loader.exec_module(debugpy)
        debugpy.listen(("127.0.0.1", wanted["port"]))
    except Exception as error:
        raise Fault("Terralive.Debugger", f"debugpy does not start: {error}") from error
    if wanted["wait"]:
        debugpy.wait_for_client()


# The context object: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html


class _Record:
    """An object with fixed attributes, None where the invocation does not say."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, object]) -> None:
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{_listed(self, self.__slots__)}])"


def _listed(thing: object, names: Iterable[str]) -> str:
    return ",".join(f"{name}={getattr(thing, name)}" for name in names)


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Record):
    __slots__ = (
        "app_package_name",
        "app_title",
        "app_version_code",
        "app_version_name",
        "installation_id",
    )


class ClientContext(_Record):
    __slots__ = ("client", "custom", "env")


class LambdaContext:
    def __init__(self, headers: Mapping[str, str]) -> None:
        client_context = _header_json(headers, "lambda-runtime-client-context", "Client Context")
        identity = (
            _header_json(headers, "lambda-runtime-cognito-identity", "Cognito Identity") or {}
        )
        environ = os.environ.get
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.log_group_name = environ("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = None
        if client_context is not None:
            client = client_context.get("client")
            client = Client(client) if isinstance(client, dict) else None
            self.client_context = ClientContext({**client_context, "client": client})
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)
        self._frozen_at = time.time() if Debugging.freeze_time else None

    def get_remaining_time_in_millis(self) -> int:
        now = time.time() if self._frozen_at is None else self._frozen_at
        return max(0, self._epoch_deadline_time_in_ms - int(now * 1000))

    def log(self, msg: object) -> None:
        sys.stdout.write(str(msg))

    def __repr__(self) -> str:
        names = "aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb function_version"
        names += " invoked_function_arn client_context identity tenant_id"
        return f"LambdaContext([{_listed(self, names.split())}])"


def _header_json(headers: Mapping[str, str], header: str, name: str) -> dict[str, object] | None:
    text = headers.get(header)
    if not text:
        return None
    try:
        found: dict[str, object] | None = json.loads(text)
    except ValueError as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {error}"
        ) from error
    return found


# Logging: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html


class Unbuffered:
    """A stream that keeps nothing back.

    What was printed before a result is there before the result.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> Unbuffered:  # noqa: PYI034 - Self is not in Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        self.stream.writelines(lines)
        self.stream.flush()


class LambdaLoggerHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record))


class LambdaLoggerFilter(logging.Filter):
    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = LambdaLoggerFilter.request_id
        return True


class JsonFormatter(logging.Formatter):
    _USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {
        "aws_request_id",
        "message",
        "asctime",
        "taskName",
    }

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        level = min(50, max(0, record.levelno)) // 10 * 10
        fields: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(level),
            "message": record.msg
            if isinstance(record.msg, dict) and not record.args
            else record.getMessage(),
            "logger": record.name,
            "requestId": LambdaLoggerFilter.request_id,
        }
        if record.exc_info:
            kind, value, trace = record.exc_info
            fields["stackTrace"] = traceback.format_tb(trace)
            fields["errorType"] = kind.__name__ if kind else None
            fields["errorMessage"] = str(value)
            fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        fields.update(
            (k, v) for k, v in record.__dict__.items() if k not in self._USUAL and k not in fields
        )
        fields = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False, default=str) + "\n"


def _logs_json() -> bool:
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def set_up_logging() -> None:
    sys.stdout = Unbuffered(sys.stdout)
    sys.stderr = Unbuffered(sys.stderr)
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.addFilter(LambdaLoggerFilter())
    if _logs_json():
        handler.setFormatter(JsonFormatter())
    else:
        layout = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
        handler.setFormatter(logging.Formatter(layout, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if level in {"DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"}:
        root.setLevel(level)
    root.addHandler(handler)


# Errors


class Error:
    """An error on its way to the Runtime API and the log."""

    def __init__(
        self, message: str, error_type: str, trace: Iterable[str], request_id: str = ""
    ) -> None:
        self.message = message
        self.type = error_type
        self.trace = list(trace)
        self.request_id = request_id

    def document(self) -> dict[str, object]:
        return {
            "errorMessage": self.message,
            "errorType": self.type,
            "requestId": self.request_id,
            "stackTrace": self.trace,
        }

    def log(self) -> None:
        """Write it as Lambda does: one event, its lines separated by carriage returns."""
        if _logs_json():
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = json.dumps(
                {"timestamp": stamp, "level": "ERROR", **self.document()}, ensure_ascii=False
            )
        else:
            lines = [
                f"[ERROR] {self.type}: {self.message}" if self.message else f"[ERROR] {self.type}"
            ]
            lines.append("Traceback (most recent call last):")
            for element in self.trace:
                for line in element.splitlines() or [""]:
                    code = line.lstrip(" ")
                    lines.append("\u00a0" * (len(line) - len(code)) + code)
            text = "\r".join(lines)
        with contextlib.suppress(ValueError, OSError):  # a handler may have closed its stdout
            sys.stdout.write(text + "\n")


def frames_of(error: BaseException) -> traceback.StackSummary:
    """The frames of a traceback, without this file's own in front."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename == __file__:
        frames.pop(0)
    return frames


def written(frames: traceback.StackSummary) -> list[str]:
    """As text, without the marks below a line that newer Pythons add.

    The managed runtime has none.
    """
    return traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])


def cause_of(error_type: str, message: str, frames: Iterable[traceback.FrameSummary]) -> str:
    """The X-Ray cause.

    Https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html.
    """
    stack = [{"label": f.name, "path": f.filename, "line": f.lineno} for f in frames]
    return json.dumps(
        {
            "working_directory": os.getcwd(),  # noqa: PTH109 - pathlib is not worth its import
            "exceptions": [{"message": message, "type": error_type, "stack": stack}],
            "paths": sorted({f.filename for f in frames}),
        }
    )


# The handler


def load(handler: str) -> Callable[[object, LambdaContext], object]:
    """Import `package/module.function`; raises Fault as the managed runtime words it."""
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{handler}': {reason}")
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise Fault("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault("Runtime.UserCodeSyntaxError", message, [place]) from error
    try:
        found: Callable[[object, LambdaContext], object] = getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Fault("Runtime.HandlerNotFound", message) from error
    return found


def _no_number(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def unmarshal(body: bytes) -> object:
    try:
        event: object = json.loads(body, parse_constant=_no_number)
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error
    return event


def marshal(encoder: Encoder, result: object) -> tuple[bytes | str, str]:
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return encoder.encode(result), "application/json"
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def flush() -> None:
    """Also what was written past our wrappers, to the streams beneath."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr] # None where a handler put None


def run_one(
    runtime: Runtime, encoder: Encoder, handler: Callable[[object, LambdaContext], object]
) -> None:
    headers, body = runtime.next()
    request_id = headers["lambda-runtime-aws-request-id"]
    LambdaLoggerFilter.request_id = request_id
    trace_id = headers.get("lambda-runtime-trace-id")
    if trace_id is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        context = LambdaContext(headers)
        event = unmarshal(body)
        answer, content_type = marshal(encoder, handler(event, context))
    except Fault as fault:
        failed = Error(fault.message, fault.error_type, fault.trace, request_id)
        cause = cause_of("LambdaValidationError", fault.message, ())
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is its outcome
        frames = frames_of(error)
        failed = Error(str(error), type(error).__name__, written(frames), request_id)
        cause = cause_of(failed.type, failed.message, frames)
    else:
        flush()
        # Text that is not valid Unicode ends the process here, as it ends the managed runtime.
        body = answer if isinstance(answer, bytes) else answer.encode("utf-8")
        runtime.respond(request_id, body, content_type)
        return
    failed.log()
    flush()
    runtime.fail(request_id, encoder.encode(failed.document()).encode("utf-8"), cause)


def main(handler_name: str, debug: str = "") -> None:
    sys.path[0] = os.getcwd()  # noqa: PTH109 - pathlib is not worth its import
    runtime = Runtime(os.environ["AWS_LAMBDA_RUNTIME_API"])
    encoder = Encoder()
    set_up_logging()
    try:
        try:
            if debug:
                let_debugger_in(json.loads(debug))
            handler = load(handler_name)
        except Fault as fault:
            failed = Error(fault.message, fault.error_type, fault.trace)
            frames = frames_of(fault.__cause__ or fault)
        except Exception as error:  # noqa: BLE001 - whatever the module raises is the init's outcome
            frames = frames_of(error)
            failed = Error(str(error), type(error).__name__, written(frames))
        else:
            while True:
                run_one(runtime, encoder, handler)
        failed.log()
        flush()
        cause = cause_of(failed.type, failed.message, frames)
        runtime.fail_init(encoder.encode(failed.document()).encode("utf-8"), failed.type, cause)
    except RuntimeGone:
        os._exit(0)  # nobody is left to work for; a handler's own threads must not keep the process
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
