"""Run a Python Lambda handler on this machine as Lambda's managed Python runtime does.

Terralive starts it with the project's own interpreter: `python python_bootstrap.py
package/module.function`. It is one file, uses the standard library only, and runs on CPython 3.9
and later, so that nothing has to be installed in the project. It gets invocations from the Runtime
API at `AWS_LAMBDA_RUNTIME_API`, calls the handler, and answers exactly as `awslambdaric` does
(tests/contract/workers/test_python_runtime.py compares the two). A handler module may take over the
Runtime API while it is imported, and never return.

It must never put its own folder on `sys.path`, its own frames into a stack trace, or its own words
into a log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
import re
import site
import socket
import sys
import time
import traceback

TYPE_CHECKING = False  # the import of `typing` would delay the start of every worker
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO, TextIO

MAX_LINE = 1 << 20
VERSION = "/2018-06-01/runtime"
MOST_CAUSES = 10


class Fault(Exception):  # noqa: N818 - reported by its `error_type`, not by this class's name
    """An error that the runtime itself detects, with a name of the Runtime API."""

    def __init__(self, error_type: str, message: str, trace: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


# The Runtime API


class RuntimeGone(Exception):  # noqa: N818 - not an error: it ends the worker
    """The Runtime API has closed the connection: this worker is no longer needed."""


class RuntimeApi:
    """The Runtime API over one connection that is kept open.

    It does not use `http.client`, whose import takes too long.
    """

    def __init__(self, address: str) -> None:
        """Take `HOST:PORT` or `HOST:PORT/SECRET`. The first call opens the connection."""
        host_port, slash, secret = address.partition("/")
        host, _, port = host_port.rpartition(":")
        self._host = host_port
        self._prefix = VERSION
        if secret:
            self._prefix = slash + secret + VERSION
        self._to = (host, int(port))
        self._socket: socket.socket | None = None
        self._stream: BinaryIO | None = None

    def next(self) -> tuple[Mapping[str, str], bytes]:
        """Block until there is an invocation. Return its headers (in lower case) and its event."""
        return self._call("GET", "/invocation/next")

    def respond(self, request_id: str, body: bytes, content_type: str) -> None:
        headers = {"Content-Type": content_type}
        self._call("POST", f"/invocation/{request_id}/response", body, headers)

    def fail(self, request_id: str, document: bytes, cause: str, causes: str) -> None:
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Function-Error-Type": "Unhandled",
        }
        if len(cause) < MAX_LINE:
            headers["Lambda-Runtime-Function-XRay-Error-Cause"] = cause
        if causes and len(causes) < MAX_LINE:
            headers["Terralive-Error-Causes"] = causes
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
        if headers:
            lines += [f"{name}: {value}" for name, value in headers.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        try:
            if self._socket is None or self._stream is None:
                self._socket = socket.create_connection(self._to)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream = self._socket.makefile("rb")
            self._socket.sendall(head + body)
            return self._read_response(self._stream)
        except OSError as error:
            raise RuntimeGone from error

    @staticmethod
    def _read_response(stream: BinaryIO) -> tuple[Mapping[str, str], bytes]:
        """Read one response. The status does not matter: every response is an acceptance."""
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


# JSON as the managed runtime writes it: Decimals become numbers, bytes become text, and named
# tuples become objects.


def _writes_unicode() -> bool:
    """Return whether characters are written as they are (from python3.12 on) or as escapes."""
    version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    return version.isdigit() and int(version) >= 12  # noqa: PLR2004 - python3.12


class Encoder:
    """Turns a handler's result into JSON text."""

    def __init__(self) -> None:
        self._unicode = _writes_unicode()
        # The standard encoder can only write a Decimal as a string. Such strings begin with this
        # random mark, and the quotes around them are removed afterwards.
        self._mark = "terralive-number-" + os.urandom(8).hex() + ":"
        # Whether the present result contains a mark.
        self._marked = False

    def encode(self, value: object) -> str:
        if _needs_conversion(value):
            value = _convert(value)
        self._marked = False
        encoder = json.JSONEncoder(ensure_ascii=not self._unicode, default=self._default)
        try:
            text = encoder.encode(value)
        except TypeError as error:
            # The managed runtime names the type of a key without its module.
            message = re.sub(r"^(keys must be .* not )[\w.]+\.", r"\1", str(error))
            raise TypeError(message) from error
        except RecursionError as error:
            # From Python 3.12 on, the managed runtime's own encoder uses other words.
            message = str(error)
            if sys.version_info >= (3, 12):
                message = message.replace("encoding a JSON object", "calling a Python object")
            raise RecursionError(message) from error
        if self._marked:
            text = re.sub('"' + self._mark + '([^"]*)"', r"\1", text)
        return text

    def _default(self, value: object) -> object:
        # If `decimal` is not imported, then no value is a Decimal.
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


def _needs_conversion(value: object) -> bool:
    """Return whether the standard encoder would write `value` unlike the managed runtime.

    It does so with named tuples and with keys that are bytes. Results rarely contain them, and only
    those that do have to be copied.
    """
    todo: list[object] = [value]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        parts: Iterable[object] = ()
        if isinstance(item, dict):
            if any(isinstance(key, bytes) for key in item):
                return True
            parts = item.values()
        elif isinstance(item, (list, tuple)):
            if _is_named_tuple(item):
                return True
            parts = item
        todo.extend(part for part in parts if isinstance(part, (dict, list, tuple)))
    return False


def _convert(value: object, parents: tuple[int, ...] = ()) -> object:
    """Return a copy with named tuples as dicts, and with text in the place of keys that are bytes.

    `parents` are the ids of the values that contain this one.
    """
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in parents:
        raise ValueError("Circular reference detected")
    parents = (*parents, id(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        converted = {}
        for key, part in value.items():
            name = key.decode("utf-8") if isinstance(key, bytes) else key
            converted[name] = _convert(part, parents)
        return converted
    if isinstance(value, (list, tuple)):
        return [_convert(part, parents) for part in value]
    return value


# Debugging


class Debugging:
    """The wishes of `terralive start --debug` that matter after the start."""

    # Whether the remaining time stays what it was at an invocation's start.
    freeze_time = False


def open_debug_port(wanted: Mapping[str, object]) -> None:
    """Let debuggers attach at a port, and wait for one if asked.

    The debugpy package may be terralive's own. Only this package is loaded from its folder, and
    nothing that lies beside it.
    """
    from importlib import util  # noqa: PLC0415 - only a debugged worker needs it

    Debugging.freeze_time = bool(wanted["freeze_time"])
    location = os.path.join(str(wanted["debugpy"]), "__init__.py")  # noqa: PTH118 - as below
    spec = util.spec_from_file_location("debugpy", location)
    if spec is None or spec.loader is None:
        raise Fault("Terralive.Debugger", f"There is no debugpy in {wanted['debugpy']}")
    debugpy = util.module_from_spec(spec)
    sys.modules["debugpy"] = debugpy
    try:
        spec.loader.exec_module(debugpy)
        debugpy.listen(("127.0.0.1", wanted["port"]))
    except Exception as error:
        raise Fault("Terralive.Debugger", f"debugpy does not start: {error}") from error
    if wanted["wait"]:
        debugpy.wait_for_client()


# The context object: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html. Its classes
# have the names that they have in the managed runtime.


class _Record:
    """An object with fixed attributes. They are None where the invocation does not set them."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, object]) -> None:
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{_format_attributes(self, self.__slots__)}])"


def _format_attributes(thing: object, names: Iterable[str]) -> str:
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


_CONTEXT_ATTRIBUTES = (
    "aws_request_id",
    "log_group_name",
    "log_stream_name",
    "function_name",
    "memory_limit_in_mb",
    "function_version",
    "invoked_function_arn",
    "client_context",
    "identity",
    "tenant_id",
)


# https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/
_TRACE_FIELDS = frozenset({"traceparent", "tracestate", "baggage"})


class LambdaContext:
    """The second argument of a handler."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        client_context, self._trace_fields = _client_context(headers)
        identity = _identity(headers)
        environ = os.environ.get
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.log_group_name = environ("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = client_context
        self.identity = identity
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)
        # The time at which the clock stands still for this invocation, or None if it runs.
        self._frozen_at: float | None = None
        if Debugging.freeze_time:
            self._frozen_at = time.time()

    def get_remaining_time_in_millis(self) -> int:
        now = self._frozen_at
        if now is None:
            now = time.time()
        return max(0, self._epoch_deadline_time_in_ms - int(now * 1000))

    def w3c(self) -> dict[str, str]:
        """Return the W3C trace context that the caller has sent in its client context."""
        return dict(self._trace_fields)

    def log(self, msg: object) -> None:
        STDOUT.write_record(str(msg))

    def __repr__(self) -> str:
        return f"LambdaContext([{_format_attributes(self, _CONTEXT_ATTRIBUTES)}])"


def _client_context(headers: Mapping[str, str]) -> tuple[ClientContext | None, dict[str, str]]:
    """Return the client context, and the W3C trace context in it, which handlers get apart."""
    values = _header_json(headers, "lambda-runtime-client-context", "Client Context")
    if values is None:
        return None, {}
    traced = values.pop("w3c", None)
    fields: dict[str, str] = {}
    if isinstance(traced, dict):
        fields = {
            name: value
            for name, value in traced.items()
            if name in _TRACE_FIELDS and isinstance(value, str)
        }
    client = values.get("client")
    values["client"] = Client(client) if isinstance(client, dict) else None
    return ClientContext(values), fields


def _identity(headers: Mapping[str, str]) -> CognitoIdentity:
    values = _header_json(headers, "lambda-runtime-cognito-identity", "Cognito Identity") or {}
    return CognitoIdentity(
        {
            "cognito_identity_id": values.get("cognitoIdentityId"),
            "cognito_identity_pool_id": values.get("cognitoIdentityPoolId"),
        }
    )


def _header_json(headers: Mapping[str, str], header: str, name: str) -> dict[str, object] | None:
    text = headers.get(header)
    if not text:
        return None
    try:
        found: dict[str, object] | None = json.loads(text)
    except ValueError as error:
        message = f"Unable to parse {name} JSON: {error}"
        raise Fault("Runtime.LambdaContextUnmarshalError", message) from error
    return found


# Logging: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html


class Unbuffered:
    """A stream without a buffer, so that what a handler printed is out before its result."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        # Whether the last text of this invocation has not ended its line.
        self.line_is_open = False

    def __enter__(self) -> Unbuffered:  # noqa: PYI034 - Self is not in Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        self.writelines((text,))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stream.write(line)
            if line:
                self.line_is_open = not line.endswith("\n")
        self.stream.flush()

    def write_record(self, text: str) -> None:
        """Write whole lines of their own.

        Lambda frames each record, so that it is a log event of its own also where a formatter of
        the team's ends no line, and where a `print` before it has ended none.
        """
        if self.line_is_open:
            text = "\n" + text
        if not text.endswith("\n"):
            text += "\n"
        self.write(text)


# Records go here also while a handler has another `sys.stdout`: Lambda has a file of its own for
# them.
STDOUT = Unbuffered(sys.stdout)


class LambdaLoggerHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        STDOUT.write_record(self.format(record))


class LambdaLoggerFilter(logging.Filter):
    # The present invocation, or "" while the handler's module is imported.
    request_id = ""
    # Its tenant, or None for a function that does not isolate its tenants.
    tenant_id: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = LambdaLoggerFilter.request_id
        record.tenant_id = LambdaLoggerFilter.tenant_id
        return True


class JsonFormatter(logging.Formatter):
    """Writes a record in the format of `AWS_LAMBDA_LOG_FORMAT=JSON`."""

    # All other attributes of a record come from a logging call's `extra`.
    _USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {
        "aws_request_id",
        "tenant_id",
        "message",
        "asctime",
        "taskName",
    }

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        message = record.msg
        if not isinstance(message, dict) or record.args:
            message = record.getMessage()
        # Levels between the named ones are written as the next lower one.
        level = min(50, max(0, record.levelno)) // 10 * 10
        fields: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(level),
            "message": message,
            "logger": record.name,
            "requestId": LambdaLoggerFilter.request_id,
        }
        if record.exc_info:
            kind, value, trace = record.exc_info
            fields["stackTrace"] = traceback.format_tb(trace)
            # `exc_info=True` outside of an `except` block has no kind. It fails as on Lambda.
            fields["errorType"] = kind.__name__  # type: ignore[union-attr]
            fields["errorMessage"] = str(value)
            fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        fields["tenantId"] = LambdaLoggerFilter.tenant_id
        for name, extra in record.__dict__.items():
            if name not in self._USUAL and name not in fields:
                fields[name] = extra
        fields = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False, default=str) + "\n"


def _logs_json() -> bool:
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def set_up_logging() -> None:
    sys.stdout = STDOUT
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
    if level == "TRACE":
        level = "DEBUG"
    if level in {"DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"}:
        root.setLevel(level)
    root.addHandler(handler)


# Errors


class Error:
    """An error as it is reported to the Runtime API and written to the log.

    `cause` is its X-Ray cause, `causes` are the exceptions that led to it (see `causes_of`), and
    `request_id` is "" outside an invocation.
    """

    causes = ""

    def __init__(
        self, message: str, error_type: str, trace: Iterable[str], cause: str, request_id: str = ""
    ) -> None:
        self.message = message
        self.type = error_type
        self.trace = list(trace)
        self.cause = cause
        self.request_id = request_id

    def document(self) -> dict[str, object]:
        return {
            "errorMessage": self.message,
            "errorType": self.type,
            "requestId": self.request_id,
            "stackTrace": self.trace,
        }

    def log(self) -> None:
        """Write it as Lambda does: as one event, its lines separated by carriage returns."""
        if _logs_json():
            timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            fields = {"timestamp": timestamp, "level": "ERROR", **self.document()}
            text = json.dumps(fields, ensure_ascii=False)
        else:
            text = "\r".join(self._lines())
        with contextlib.suppress(ValueError, OSError):  # a handler may have closed its stdout
            STDOUT.write_record(text)

    def _lines(self) -> list[str]:
        title = f"[ERROR] {self.type}"
        if self.message:
            title += f": {self.message}"
        lines = [title, "Traceback (most recent call last):"]
        for element in self.trace:
            for line in element.splitlines() or [""]:
                # CloudWatch would remove ordinary spaces at the beginning of a line.
                code = line.lstrip(" ")
                lines.append("\u00a0" * (len(line) - len(code)) + code)
        return lines


def frames_of(error: BaseException) -> traceback.StackSummary:
    """Return the frames of a traceback, without the frames of this file at its beginning."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename == __file__:
        frames.pop(0)
    return frames


def format_frames(frames: traceback.StackSummary) -> list[str]:
    """Return frames as text.

    Newer Pythons mark the place in a line with `^^^`. The managed runtime does not.
    """
    return traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])


def xray_cause(error_type: str, message: str, frames: Iterable[traceback.FrameSummary]) -> str:
    """Return the cause of an error as X-Ray documents it, as JSON text.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
    """
    stack = [{"label": f.name, "path": f.filename, "line": f.lineno} for f in frames]
    return json.dumps(
        {
            "working_directory": os.getcwd(),  # noqa: PTH109 - the import of pathlib takes long
            "exceptions": [{"message": message, "type": error_type, "stack": stack}],
            "paths": sorted({f.filename for f in frames}),
        }
    )


def error_of_exception(error: BaseException, request_id: str = "") -> Error:
    """Describe an exception of the handler or of its module."""
    frames = frames_of(error)
    error_type = type(error).__name__
    message = str(error)
    cause = xray_cause(error_type, message, frames)
    described = Error(message, error_type, format_frames(frames), cause, request_id)
    # A message may fail to be made, and nothing here may change the outcome.
    with contextlib.suppress(Exception):
        described.causes = causes_of(error)
    return described


def causes_of(error: BaseException) -> str:
    """Return the exceptions that led to an error, for the header `Terralive-Error-Causes`.

    Lambda tells only the last exception of a chain, and nothing of the parts of a group. "" if
    there are none.
    """
    found: list[dict[str, object]] = []
    seen = {id(error)}
    todo = _led_to(error)
    while todo and len(found) < MOST_CAUSES:
        relation, cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        found.append(
            {
                "relation": relation,
                "errorType": type(cause).__name__,
                "errorMessage": str(cause),
                "stackTrace": format_frames(frames_of(cause)),
            }
        )
        todo = _led_to(cause) + todo
    if not found:
        return ""
    import base64  # noqa: PLC0415 - only such an error needs it

    return base64.b64encode(json.dumps(found).encode("utf-8")).decode("ascii")


def _led_to(error: BaseException) -> list[tuple[str, BaseException]]:
    """Return the exceptions that led to this one directly, with their relations to it."""
    found: list[tuple[str, BaseException]] = []
    if error.__cause__ is not None:
        found.append(("cause", error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append(("context", error.__context__))
    parts = getattr(error, "exceptions", ())  # of an ExceptionGroup
    if isinstance(parts, tuple):
        found += [("part", part) for part in parts if isinstance(part, BaseException)]
    return found


# The handler


def load(handler: str) -> Callable[[object, LambdaContext], object]:
    """Import `package/module.function`. Raise Fault in the words of the managed runtime."""
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


def _reject_constant(constant: str) -> object:
    """Reject `NaN` and the like, which Python's parser takes although they are not JSON."""
    raise ValueError(f"{constant} is not JSON")


def unmarshal(body: bytes) -> object:
    """Parse an event."""
    try:
        event: object = json.loads(body, parse_constant=_reject_constant)
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error
    return event


def marshal(encoder: Encoder, result: object) -> tuple[bytes | str, str]:
    """Return the body and the content type of a handler's result."""
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return encoder.encode(result), "application/json"
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def flush() -> None:
    """Write out all output, also what a handler wrote to the streams beneath `Unbuffered`."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr] # None where a handler put None


def run_one(
    runtime: RuntimeApi, encoder: Encoder, handler: Callable[[object, LambdaContext], object]
) -> None:
    """Wait for one invocation, call the handler, and report the result or the error."""
    headers, body = runtime.next()
    STDOUT.line_is_open = False  # the end of an invocation ends its last line
    request_id = headers["lambda-runtime-aws-request-id"]
    LambdaLoggerFilter.request_id = request_id
    LambdaLoggerFilter.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
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
        cause = xray_cause("LambdaValidationError", fault.message, ())
        failed = Error(fault.message, fault.error_type, fault.trace, cause, request_id)
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is its outcome
        failed = error_of_exception(error, request_id)
    else:
        flush()
        if isinstance(answer, str):
            # Text that is not valid Unicode ends the process here, as it ends the managed runtime.
            answer = answer.encode("utf-8")
        runtime.respond(request_id, answer, content_type)
        return
    failed.log()
    flush()
    document = encoder.encode(failed.document()).encode("utf-8")
    runtime.fail(request_id, document, failed.cause, failed.causes)


def run(runtime: RuntimeApi, handler_name: str, debug: str) -> None:
    """Load the handler and run invocations. Return only if the handler cannot be loaded."""
    encoder = Encoder()
    try:
        if debug:
            open_debug_port(json.loads(debug))
        handler = load(handler_name)
    except Fault as fault:
        frames = frames_of(fault.__cause__ or fault)
        cause = xray_cause(fault.error_type, fault.message, frames)
        failed = Error(fault.message, fault.error_type, fault.trace, cause)
    except Exception as error:  # noqa: BLE001 - whatever the module raises is the init's outcome
        failed = error_of_exception(error)
    else:
        while True:
            run_one(runtime, encoder, handler)
    failed.log()
    flush()
    document = encoder.encode(failed.document()).encode("utf-8")
    runtime.fail_init(document, failed.type, failed.cause)


def add_site_folders() -> None:
    """Read the `.pth` files of the code and of layers, as the managed runtime does at its start.

    https://docs.python.org/3/library/site.html
    """
    folders = [sys.path[0], *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    for folder in folders:
        if folder:
            site.addsitedir(folder)


def main(handler_name: str, debug: str = "") -> None:
    """Run the worker. `debug` is a JSON object of wishes (see launch.py), or ""."""
    sys.path[0] = os.getcwd()  # noqa: PTH109 - the import of pathlib takes long
    add_site_folders()
    runtime = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    set_up_logging()
    try:
        run(runtime, handler_name, debug)
    except RuntimeGone:
        os._exit(0)  # the worker is not needed any more: threads of the handler must not keep it
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
