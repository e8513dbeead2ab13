"""What a worker's environment variables are: the deployed function's own, made to work on this machine.

One pure function. It takes the function's real environment, drops what is local by nature, adds the
few variables that a program needs from here, and cuts the developer's own AWS identity off: a
handler has the function's role or nothing. Lambda's own variables:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Final

from terralive_workers.function import LocalFunction

CREDENTIALS: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})

# Differs between execution environments or invocations of one and the same function: no reason for
# another worker.
_VOLATILE: Final = CREDENTIALS | {
    "AWS_SECURITY_TOKEN",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "_X_AMZN_TRACE_ID",
}

# Local by nature, or about the stub and not about the function: never taken over from Lambda.
_NOT_FROM_LAMBDA: Final = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "TMPDIR", "TERM", "_",
        "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "PYTHONHOME",
        "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_EXEC_WRAPPER", "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_XRAY_DAEMON_ADDRESS", "AWS_EXECUTION_ENV", "_HANDLER", "_X_AMZN_TRACE_ID",
        "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    }
)  # fmt: skip
_NOT_FROM_LAMBDA_PREFIXES: Final = ("LD_", "DYLD_", "LC_", "_AWS_XRAY_", "_LAMBDA_")

# What programs on this machine need from it. Of AWS_* only the trust store of a company's proxy: it
# is no identity.
_FROM_HERE: Final = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "LANGUAGE",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE",
    }
)  # fmt: skip
_FROM_HERE_PREFIXES: Final = ("LC_", "LD_", "DYLD_")

_SEARCH_PATHS: Final = ("PYTHONPATH", "NODE_PATH")
_IMAGE_FOLDERS: Final = ("/var/runtime", "/var/lang", "/opt", "/usr/lib", "/lib")
_TASK_ROOT: Final = "/var/task"


def worker_environment(
    remote: Mapping[str, str],
    function: LocalFunction,
    runtime_api: str,
    local: Mapping[str, str],
    *,
    live: bool = True,
) -> dict[str, str]:
    """The environment of a worker's process.

    Args:
        remote: the function's environment in Lambda, credentials among it.
        function: the function and its local code.
        runtime_api: the value of `AWS_LAMBDA_RUNTIME_API`.
        local: this process's own environment.
        live: whether this is a developer's code standing in for a deployed function (`TERRALIVE=1`
            says so), and not the deployed code itself in the sandbox.
    """
    ours = {name: value for name, value in remote.items() if not _is_local_by_nature(name)}
    for name in _SEARCH_PATHS:
        if name in ours:
            ours[name] = _local_search_path(ours[name], function)
            if not ours[name]:
                del ours[name]
    here = {n: v for n, v in local.items() if n in _FROM_HERE or n.startswith(_FROM_HERE_PREFIXES)}
    theirs = {name: value for name, value in ours.items() if name != "TERRALIVE"}
    return {
        **here,
        "TZ": "UTC",  # as in Lambda: a handler that asks for the local time gets UTC
        "AWS_CONFIG_FILE": os.devnull,  # ~/.aws is the developer's
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",  # the code tree is the developer's too
        **theirs,
        "_HANDLER": function.handler,
        **({"AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}"} if function.runtime else {}),
        "AWS_LAMBDA_FUNCTION_NAME": ours.get("AWS_LAMBDA_FUNCTION_NAME", function.name),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": str(function.path),
        **({"TERRALIVE": "1"} if live else {}),
    }


def environment_key(remote: Mapping[str, str]) -> str:
    """Equal for environments that one worker may serve.

    A digest, so that holding it holds no secret.
    """
    return _digest(
        {n: v for n, v in remote.items() if n not in _VOLATILE and not _is_local_by_nature(n)}
    )


def credentials_key(remote: Mapping[str, str]) -> str:
    """Equal for equal credentials; a digest, so that holding it holds no secret."""
    return _digest({name: remote[name] for name in CREDENTIALS if name in remote})


def _is_local_by_nature(name: str) -> bool:
    return name in _NOT_FROM_LAMBDA or name.startswith(_NOT_FROM_LAMBDA_PREFIXES)


def _local_search_path(value: str, function: LocalFunction) -> str:
    """A search path without the image's folders, with those of the function's code moved to the local code root."""
    kept = []
    for folder in value.split(":"):
        if not folder or any(
            folder == image or folder.startswith(f"{image}/") for image in _IMAGE_FOLDERS
        ):
            continue
        if folder == _TASK_ROOT or folder.startswith(f"{_TASK_ROOT}/"):
            kept.append(f"{function.path}{folder[len(_TASK_ROOT) :]}")
        else:
            kept.append(folder)
    return os.pathsep.join(kept)


def _digest(variables: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
