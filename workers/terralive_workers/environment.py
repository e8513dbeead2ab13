"""The environment of a worker: that of the deployed function, made to work on this machine.

`worker_environment` is pure. It takes the function's real environment, leaves out the variables
that only have a meaning inside Lambda or would run code here (`variables/`), adds the few that a
program needs from this machine, and removes the developer's own AWS identity: a handler has the
function's role or nothing. Lambda's own variables:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_workers.function import LocalFunction
from terralive_workers.layers.paths import extend
from terralive_workers.variables import names
from terralive_workers.variables.paths import search_path_of_deployed
from terralive_workers.variables.verdict import judge

CREDENTIALS: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})

# These differ between the execution environments, or between the invocations, of one function. A
# different value is no reason for another worker.
_VOLATILE: Final = CREDENTIALS | {
    "AWS_SECURITY_TOKEN",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "_X_AMZN_TRACE_ID",
}

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
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "AWS_CA_BUNDLE",
    }
)
_OF_THE_LOADER: Final = ("LD_", "DYLD_")
_FROM_THIS_MACHINE_PREFIXES: Final = ("LC_", *_OF_THE_LOADER)
# The search paths of deployed code: those that Lambda's runtimes set.
_SEARCH_PATHS: Final = ("PYTHONPATH", "NODE_PATH")
NO_SEARCH_PATHS: Final[Mapping[str, Sequence[str]]] = {}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Variables of a live function that the user should know about, by name.

    Attributes:
        names: variables that are not taken over, or only in part, because they would make programs
            on this machine run code or read files.
        in_lambda: variables whose values name folders that exist in Lambda only. They are taken
            over as they are.
    """

    names: tuple[str, ...] = ()
    in_lambda: tuple[str, ...] = ()

    def without(self, known: Collection[str]) -> LeftOut:
        """Return the variables that are not among the known ones."""
        return LeftOut(
            tuple(name for name in self.names if name not in known),
            tuple(name for name in self.in_lambda if name not in known),
        )


def worker_environment(
    remote: Mapping[str, str],
    function: LocalFunction,
    runtime_api: str,
    local: Mapping[str, str],
    *,
    live: bool = True,
    layers: Path | None = None,
    search_paths: Mapping[str, Sequence[str]] = NO_SEARCH_PATHS,
) -> dict[str, str]:
    """Return the environment of a worker's process.

    Args:
        remote: the function's environment in Lambda, including its credentials.
        function: the function and its local code.
        runtime_api: the value of `AWS_LAMBDA_RUNTIME_API`.
        local: the environment of this process.
        live: true for a developer's code in the place of a deployed function, which then gets
            `TERRALIVE=1`; false for the deployed code itself in the sandbox.
        layers: the folder with the content of deployed code's layers, if it has any.
        search_paths: the folders that search paths of live code end with, by variable.
    """
    if live:
        from_lambda = _live_variables(remote, function)
    else:
        from_lambda = _deployed_variables(remote, function, layers)

    # Later entries replace earlier ones: what Lambda sets wins over this machine, and the last
    # group describes this worker and cannot be set by the function.
    own_locale = any(names.is_locale(name) for name in from_lambda)
    environment = {
        name: value
        for name, value in local.items()
        if _is_from_this_machine(name) and not (own_locale and names.is_locale(name))
    }
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
    extend(environment, search_paths)
    if live:
        environment["TERRALIVE"] = "1"
    return environment


def left_out(
    remote: Mapping[str, str], function: LocalFunction, local: Mapping[str, str]
) -> LeftOut:
    """Return the variables of a live function that the user should know about.

    A variable that has the same value in the worker anyway is no news.
    """
    environment = worker_environment(remote, function, "", local)
    unused: list[str] = []
    in_lambda: list[str] = []
    local_names = {name for name, _ in function.variables}
    for name, value in sorted(remote.items()):
        if name in local_names:
            continue
        if name in function.allow_variables or environment.get(name) == value:
            continue
        if judge(name, value, function.path).left_out:
            unused.append(name)
    for name, value in sorted(remote.items()):
        if name in local_names:
            continue
        if judge(name, value, function.path).names_lambda_folder:
            in_lambda.append(name)
    return LeftOut(tuple(unused), tuple(in_lambda))


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


def _live_variables(remote: Mapping[str, str], function: LocalFunction) -> dict[str, str]:
    """Return the variables that a live function brings to this machine."""
    found: dict[str, str] = {}
    for name, value in remote.items():
        taken: str | None = value
        if name not in function.allow_variables:
            taken = judge(name, value, function.path).value
        if taken is not None:
            found[name] = taken
    found.update(function.variables)
    found.pop("TERRALIVE", None)  # set by `worker_environment`, and by nothing else
    return found


def _deployed_variables(
    remote: Mapping[str, str], function: LocalFunction, layers: Path | None
) -> dict[str, str]:
    """Return the variables of deployed code in the sandbox: all but those of Lambda's machine."""
    found: dict[str, str] = {}
    for name, value in remote.items():
        if names.is_of_lambda(name) or name.startswith(_OF_THE_LOADER):
            continue
        if name in _SEARCH_PATHS:
            value = search_path_of_deployed(value, function.path, layers)  # noqa: PLW2901
            if not value:
                continue
        found[name] = value
    return found


def _is_stable(name: str) -> bool:
    return name not in _VOLATILE and not names.is_of_lambda(name)


def _is_from_this_machine(name: str) -> bool:
    return name in _FROM_THIS_MACHINE or name.startswith(_FROM_THIS_MACHINE_PREFIXES)


def _digest(variables: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
