"""The environment of a worker: that of the deployed function, made to work on this machine.

`worker_environment` is pure. It takes the function's real environment, removes the variables that
only have a meaning inside Lambda, adds the few that a program needs from this machine, and removes
the developer's own AWS identity: a handler has the function's role or nothing. Lambda's own
variables: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Final

from terralive_workers.function import LocalFunction

CREDENTIALS: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})

# These differ between the execution environments, or between the invocations, of one function. A
# different value is no reason for another worker.
_VOLATILE: Final = CREDENTIALS | {
    "AWS_SECURITY_TOKEN",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "_X_AMZN_TRACE_ID",
}

# These are never taken over from Lambda: they describe the machine there, or the stub instead of
# the function.
_NOT_FROM_LAMBDA: Final = frozenset(
    {
        # the shell and the machine
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "HOSTNAME",
        "TMPDIR",
        "TERM",
        "_",
        "LANG",
        "LANGUAGE",
        "TZ",
        "VIRTUAL_ENV",
        "PYTHONHOME",
        # the runtime
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_EXEC_WRAPPER",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_XRAY_DAEMON_ADDRESS",
        "AWS_EXECUTION_ENV",
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        # credentials from an address that cannot be reached from here
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    }
)
_NOT_FROM_LAMBDA_PREFIXES: Final = ("LD_", "DYLD_", "LC_", "_AWS_XRAY_", "_LAMBDA_")

# Programs on this machine need these from it. The only AWS variable is the certificate file of a
# company's proxy, which is no identity.
_FROM_THIS_MACHINE: Final = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "LANG",
        "LANGUAGE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "AWS_CA_BUNDLE",
    }
)
_FROM_THIS_MACHINE_PREFIXES: Final = ("LC_", "LD_", "DYLD_")

_SEARCH_PATHS: Final = ("PYTHONPATH", "NODE_PATH")
# Folders of Lambda's image, which do not exist here or hold something else.
_IMAGE_FOLDERS: Final = ("/var/runtime", "/var/lang", "/opt", "/usr/lib", "/lib")
# The folder of the function's code in Lambda.
_TASK_ROOT: Final = "/var/task"


def worker_environment(
    remote: Mapping[str, str],
    function: LocalFunction,
    runtime_api: str,
    local: Mapping[str, str],
    *,
    live: bool = True,
) -> dict[str, str]:
    """Return the environment of a worker's process.

    Args:
        remote: the function's environment in Lambda, including its credentials.
        function: the function and its local code.
        runtime_api: the value of `AWS_LAMBDA_RUNTIME_API`.
        local: the environment of this process.
        live: true for a developer's code in the place of a deployed function, which then gets
            `TERRALIVE=1`; false for the deployed code itself in the sandbox.
    """
    from_lambda = {name: value for name, value in remote.items() if not _is_local(name)}
    from_lambda.pop("TERRALIVE", None)  # set below, and by nothing else
    for name in _SEARCH_PATHS:
        search_path = _local_search_path(from_lambda.get(name, ""), function)
        if search_path:
            from_lambda[name] = search_path
        else:
            from_lambda.pop(name, None)

    # Later entries replace earlier ones: what Lambda sets wins over this machine, and the last
    # group describes this worker and cannot be set by the function.
    environment = {name: value for name, value in local.items() if _is_from_this_machine(name)}
    environment["TZ"] = "UTC"  # as in Lambda: a handler that asks for the local time gets UTC
    environment["AWS_CONFIG_FILE"] = os.devnull  # ~/.aws belongs to the developer
    environment["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the code folder is the developer's
    environment.update(from_lambda)
    environment.setdefault("AWS_LAMBDA_FUNCTION_NAME", function.name)
    environment["_HANDLER"] = function.handler
    if function.runtime:
        environment["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{function.runtime}"
    environment["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
    environment["AWS_LAMBDA_RUNTIME_API"] = runtime_api
    environment["LAMBDA_TASK_ROOT"] = str(function.path)
    if live:
        environment["TERRALIVE"] = "1"
    return environment


def environment_key(remote: Mapping[str, str]) -> str:
    """Return a digest that is equal for environments that the same worker may serve.

    It is a digest, so that it contains no secret.
    """
    return _digest({name: value for name, value in remote.items() if _is_stable(name)})


def credentials_key(remote: Mapping[str, str]) -> str:
    """Return a digest that is equal for equal credentials.

    It is a digest, so that it contains no secret.
    """
    return _digest({name: remote[name] for name in CREDENTIALS if name in remote})


def _is_local(name: str) -> bool:
    """Return whether this variable is never taken over from Lambda."""
    return name in _NOT_FROM_LAMBDA or name.startswith(_NOT_FROM_LAMBDA_PREFIXES)


def _is_stable(name: str) -> bool:
    return name not in _VOLATILE and not _is_local(name)


def _is_from_this_machine(name: str) -> bool:
    return name in _FROM_THIS_MACHINE or name.startswith(_FROM_THIS_MACHINE_PREFIXES)


def _local_search_path(value: str, function: LocalFunction) -> str:
    """Return a search path for this machine.

    It has no folders of Lambda's image. Folders of the function's code there become those here.
    """
    folders = []
    for folder in value.split(":"):
        if _is_within(folder, _TASK_ROOT):
            folders.append(f"{function.path}{folder[len(_TASK_ROOT) :]}")
        elif folder and not any(_is_within(folder, image) for image in _IMAGE_FOLDERS):
            folders.append(folder)
    return os.pathsep.join(folders)


def _is_within(folder: str, parent: str) -> bool:
    return folder == parent or folder.startswith(f"{parent}/")


def _digest(variables: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
