"""Runs a Python Lambda handler on this machine as Lambda's managed Python runtime does.

Started by terralive with the project's own interpreter: `python python_bootstrap.py package/module.function`. One
self-contained file, standard library only, any CPython from 3.9 on: nothing of it, and nothing it needs, is ever
installed in the project. It asks the Runtime API at `AWS_LAMBDA_RUNTIME_API` for invocations, calls the handler, and
answers exactly as `awslambdaric` does (held against it in tests/contract/test_python_runtime.py). A handler module may
take over the Runtime API while it is imported and never come back.

It must never put its own folder on `sys.path`, its own frames in a stack trace, or its own words in a log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
import socket
import sys
import time
import traceback

MAX_LINE = 1 << 20
VERSION = "/2018-06-01/runtime"


class Fault(Exception):  # noqa: N818 - a fault is reported by its own type, not by this class's name
    """Something that the runtime itself finds fault with, named as the Runtime API names it."""

    def __init__(self, error_type, message, trace=()):
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


# The Runtime API


class RuntimeGone(Exception):  # noqa: N818
    """The Runtime API has closed the connection: this worker is no longer wanted."""


class Runtime:
    """The Runtime API over one kept-alive connection. Hand-written: `http.client` costs more to import than to replace."""

    def __init__(self, address):
        host_port, _, prefix = address.partition("/")
        host, _, port = host_port.rpartition(":")
        self._host = host_port
        self._prefix = ("/" + prefix if prefix else "") + VERSION
        self._to = (host, int(port))
        self._socket = None
        self._stream = None

    def next(self):
        """Block until there is an invocation; returns (headers in lower case, event bytes)."""
        _, headers, body = self._call("GET", "/invocation/next")
        return headers, body

    def respond(self, request_id, body, content_type):
        self._call("POST", "/invocation/" + request_id + "/response", body, {"Content-Type": content_type})

    def fail(self, request_id, document, cause):
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": "Unhandled"}
        if len(cause) < MAX_LINE:
            headers["Lambda-Runtime-Function-XRay-Error-Cause"] = cause
        self._call("POST", "/invocation/" + request_id + "/error", document, headers)

    def fail_init(self, document, error_type):
        self._call("POST", "/init/error", document, {"Lambda-Runtime-Function-Error-Type": error_type})

    def _call(self, method, path, body=b"", headers=None):
        if self._socket is None:
            self._socket = socket.create_connection(self._to)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream = self._socket.makefile("rb")
        lines = ["%s %s%s HTTP/1.1" % (method, self._prefix, path), "Host: " + self._host]
        lines += ["%s: %s" % pair for pair in (headers or {}).items()]
        if method == "POST":
            lines.append("Content-Length: %d" % len(body))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        try:
            self._socket.sendall(head + body)
            return self._answer()
        except OSError as error:
            raise RuntimeGone from error

    def _answer(self):
        status = self._stream.readline(MAX_LINE).split(None, 2)
        if len(status) < 2:
            raise RuntimeGone
        headers = {}
        while True:
            line = self._stream.readline(MAX_LINE).strip()
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("utf-8", "replace")
        body = self._stream.read(int(headers.get("content-length", 0)))
        return int(status[1]), headers, body


# JSON, by the rules of the managed runtime: Decimals as numbers, bytes as text, named tuples as objects


def _writes_unicode():
    """From python3.12 on, the managed runtime writes characters as they are and no longer as escapes."""
    version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    return version.isdigit() and int(version) >= 12


class Encoder:
    """Writes what a handler returned."""

    def __init__(self):
        self._unicode = _writes_unicode()
        self._mark = "terralive-number-" + os.urandom(8).hex() + ":"

    def encode(self, value):
        if _has_exotic(value):
            value = _plain(value)
        self._marked = False
        text = json.JSONEncoder(ensure_ascii=not self._unicode, default=self._default).encode(value)
        if self._marked:
            import re

            text = re.sub('"' + self._mark + '([^"]*)"', r"\1", text)
        if self._unicode and ("\u2028" in text or "\u2029" in text):
            text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return text

    def _default(self, value):
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if value.is_nan():
                return math.nan
            self._marked = True
            return self._mark + str(value)
        if isinstance(value, (bytes, bytearray)) and isinstance(value, bytes):
            return value.decode("utf-8")
        raise TypeError("Object of type %s is not JSON serializable" % value.__class__.__name__)


def _is_named_tuple(value):
    return isinstance(value, tuple) and callable(getattr(value, "_asdict", None))


def _has_exotic(value):
    """Whether the standard encoder would write some part of `value` in another way than the managed runtime."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            if any(isinstance(key, bytes) for key in item):
                return True
            inside = item.values()
        elif isinstance(item, (list, tuple)):
            if _is_named_tuple(item):
                return True
            inside = item
        else:
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        todo.extend(part for part in inside if isinstance(part, (dict, list, tuple)))
    return False


def _plain(value, above=()):
    if isinstance(value, (dict, list, tuple)):
        if id(value) in above:
            raise ValueError("Circular reference detected")
        above = (*above, id(value))
    if _is_named_tuple(value):
        value = value._asdict()
    if isinstance(value, dict):
        return {
            (key.decode("utf-8") if isinstance(key, bytes) else key): _plain(part, above) for key, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(part, above) for part in value]
    return value


# The context object: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html


class _Record:
    """An object with fixed attributes, None where the invocation does not say."""

    __slots__ = ()

    def _fill(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))
        return self

    def __repr__(self):
        return "%s([%s])" % (
            type(self).__name__,
            ",".join("%s=%s" % (name, getattr(self, name)) for name in self.__slots__),
        )


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Record):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Record):
    __slots__ = ("custom", "env", "client")


class LambdaContext:
    def __init__(self, headers):
        client_context = _header_json(headers, "lambda-runtime-client-context", "Client Context")
        identity = _header_json(headers, "lambda-runtime-cognito-identity", "Cognito Identity") or {}
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
            self.client_context = ClientContext()._fill(client_context)
            if self.client_context.client is not None:
                self.client_context.client = Client()._fill(self.client_context.client)
        self.identity = CognitoIdentity()._fill(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, msg):
        sys.stdout.write(str(msg))

    def __repr__(self):
        names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb")
        names += ("function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")
        return "LambdaContext([%s])" % ",".join("%s=%s" % (name, getattr(self, name)) for name in names)


def _header_json(headers, header, name):
    text = headers.get(header)
    if not text:
        return None
    try:
        return json.loads(text)
    except Exception as error:  # noqa: BLE001 - as the managed runtime: whatever is wrong, it is the header's fault
        raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, error)) from error


# Logging: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html


class Unbuffered:
    """A stream that keeps nothing back: what was printed before a result is there before the result."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        self.stream.write(text)
        self.stream.flush()

    def writelines(self, lines):
        self.stream.writelines(lines)
        self.stream.flush()


class LambdaLoggerHandler(logging.Handler):
    def emit(self, record):
        sys.stdout.write(self.format(record))


class LambdaLoggerFilter(logging.Filter):
    request_id = ""

    def filter(self, record):
        record.aws_request_id = LambdaLoggerFilter.request_id
        return True


class JsonFormatter(logging.Formatter):
    _USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"aws_request_id", "message", "asctime", "taskName"}

    def __init__(self):
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

    def format(self, record):
        level = min(50, max(0, record.levelno)) // 10 * 10
        fields = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(level),
            "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
            "logger": record.name,
            "requestId": record.aws_request_id or None,
        }
        if record.exc_info:
            kind, value, trace = record.exc_info
            fields["stackTrace"] = traceback.format_tb(trace)
            fields["errorType"] = kind.__name__ if kind else None
            fields["errorMessage"] = str(value)
            fields["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
        fields.update((k, v) for k, v in record.__dict__.items() if k not in self._USUAL and k not in fields)
        fields = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False, default=str) + "\n"


def _logs_json():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def set_up_logging():
    sys.stdout = Unbuffered(sys.stdout)
    sys.stderr = Unbuffered(sys.stderr)
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.addFilter(LambdaLoggerFilter())
    if _logs_json():
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
            )
        )
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if level in {"DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"}:
        root.setLevel(level)
    root.addHandler(handler)


def log_error(document):
    """Write an error to the log as Lambda does: one event, its lines separated by carriage returns."""
    if _logs_json():
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json.dumps({"timestamp": stamp, "level": "ERROR", **document}, ensure_ascii=False)
    else:
        lines = ["[ERROR] %s: %s" % (document["errorType"], document["errorMessage"])]
        lines.append("Traceback (most recent call last):")
        for element in document["stackTrace"]:
            for line in element.splitlines() or [""]:
                code = line.lstrip(" ")
                lines.append("\u00a0" * (len(line) - len(code)) + code)
        text = "\r".join(lines)
    with contextlib.suppress(ValueError, OSError):  # a handler may have closed its stdout
        sys.stdout.write(text + "\n")


# Errors


def error_document(message, error_type, trace, request_id=""):
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": list(trace)}


def frames_of(error):
    """(file, line, function, code) of each frame, without this file's own in front."""
    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
    while frames and frames[0][0] == __file__:
        frames.pop(0)
    return frames


def cause_of(error_type, message, frames):
    """The X-Ray cause: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html."""
    stack = [{"label": name, "path": path, "line": line} for path, line, name, _ in frames]
    return {
        "working_directory": os.getcwd(),
        "exceptions": [{"message": message, "type": error_type, "stack": stack}],
        "paths": sorted({frame[0] for frame in frames}),
    }


# The handler


def load(handler):
    """Import `package/module.function`; raises Fault as the managed runtime words it."""
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler,
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error)) from error
    except SyntaxError as error:
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module '%s': %s" % (module_name, error),
            ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)],
        ) from error
    try:
        return getattr(module, function_name)
    except AttributeError as error:
        raise Fault(
            "Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name)
        ) from error


def unmarshal(body):
    try:
        return json.loads(body)
    except Exception as error:  # noqa: BLE001 - as the managed runtime
        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error) from error


def marshal(encoder, result):
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return encoder.encode(result).encode("utf-8"), "application/json"
    except Exception as error:  # noqa: BLE001 - as the managed runtime
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error) from error


def flush():
    """Also what was written past our wrappers, to the streams beneath."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()


def run_one(runtime, encoder, handler):
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
        document = error_document(fault.message, fault.error_type, fault.trace, request_id)
        cause = cause_of("LambdaValidationError", fault.message, [])
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is its outcome
        frames = frames_of(error)
        name = type(error).__name__
        document = error_document(str(error), name, traceback.format_list(frames), request_id)
        cause = cause_of(name, str(error), frames)
    else:
        flush()
        runtime.respond(request_id, answer, content_type)
        return
    log_error(document)
    flush()
    runtime.fail(request_id, encoder.encode(document).encode("utf-8"), json.dumps(cause))


def main(handler_name):
    sys.path[0] = os.getcwd()
    runtime = Runtime(os.environ["AWS_LAMBDA_RUNTIME_API"])
    encoder = Encoder()
    set_up_logging()
    try:
        try:
            handler = load(handler_name)
        except Fault as fault:
            document = error_document(fault.message, fault.error_type, fault.trace)
        except Exception as error:  # noqa: BLE001 - whatever the module raises is the init's outcome
            document = error_document(str(error), type(error).__name__, traceback.format_list(frames_of(error)))
        else:
            while True:
                run_one(runtime, encoder, handler)
        log_error(document)
        flush()
        runtime.fail_init(encoder.encode(document).encode("utf-8"), document["errorType"])
    except RuntimeGone:
        os._exit(0)  # nobody is left to work for; a handler's own threads must not keep the process
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
