"""Start an execution environment: credentials of the role, environment variables, log stream.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.environments import runtimes
from terralive_sandbox.functions.environments.environment import ExecutionEnvironment
from terralive_sandbox.functions.environments.workspace import Workspace
from terralive_sandbox.functions.invoke_api import stopping
from terralive_sandbox.functions.logs import FunctionLog, LogWriter, logging_config
from terralive_sandbox.places import Place
from terralive_workers.environment import worker_environment
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.layers import paths
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.variables.paths import path_of_deployed

# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
_WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"
# The beginnings of the names of the sandbox's own variables that no function sees.
_NOT_FOR_FUNCTIONS: Final = ("AWS_", "MOTO_", "TERRALIVE_", "PYENV_", "UV_")


@dataclass(frozen=True, slots=True)
class DeployedCode:
    """The unpacked code of a function.

    Attributes:
        local: the function, with the folder of its code.
        layers: the folder with the content of its layers; None if it has none.
    """

    local: LocalFunction
    layers: Path | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentBuilder:
    """Start execution environments. It belongs to the event loop.

    Attributes:
        endpoint: the value of `AWS_ENDPOINT_URL` for functions.
        control: the control plane.
        log_writer: takes the lines of the environments' logs.
        workspace: the place of the environments' `/tmp` folders.
        api: the Runtime API that the environments' processes call.
        is_closed: whether the sandbox stops, so that nothing would end another environment.
    """

    endpoint: str
    control: ControlPlane
    log_writer: LogWriter
    workspace: Workspace
    api: RuntimeApi
    is_closed: Callable[[], bool]

    async def build(self, function: LambdaFunction, code: DeployedCode) -> ExecutionEnvironment:
        """Start an environment of a function whose code is unpacked.

        Raises:
            InvokeError: the sandbox stops.
        """
        # Each environment has credentials of its own, as in Lambda.
        keys = await self.control.call_async(
            identity.assume, function.role, function.function_name, function.region
        )
        if self.is_closed():
            raise stopping()
        # A new log stream has a name like `2026/01/31/[$LATEST]…`.
        day = time.strftime("%Y/%m/%d", time.gmtime())
        stream = f"{day}/[{function.version}]{uuid.uuid4().hex}"
        # The role's policies decide what reaches the log. They are read once for each environment.
        documents = identity.role_documents(function.role)
        place = Place.of(function.function_arn)
        group = function.logs_group_name
        log = FunctionLog(place, group, stream, documents, self.log_writer.write)
        scratch = self.workspace.new_folder("tmp-")
        remote = self._variables(function, stream, keys)
        launch = launch_of(code.local, live=False, node_options=remote.get("NODE_OPTIONS", ""))
        environment = ExecutionEnvironment(self.api, log, scratch, own_port=launch.own_port)
        # The sandbox's own environment variables that a function may see.
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_NOT_FOR_FUNCTIONS)
        }
        variables = worker_environment(
            remote, code.local, environment.address, own, live=False, layers=code.layers
        )
        _extend_search_paths(variables, code)
        variables["TMPDIR"] = str(scratch)
        if self.workspace.has_own_tmp:
            variables["TMPDIR"] = "/tmp"  # noqa: S108  # each environment has its own /tmp
        command = launch.command
        if remote.get(_WRAPPER) and not code.local.runtime.startswith("provided"):
            # The wrapper gets the runtime's command line and starts it.
            wrapper = path_of_deployed(remote[_WRAPPER], code.local.path, code.layers)
            command = (wrapper, *command)
        isolated = self.workspace.isolated(command, code.local.path, code.layers, scratch)
        environment.start(isolated, code.local.path, variables)
        return environment

    def _variables(
        self, function: LambdaFunction, stream: str, keys: identity.Keys
    ) -> dict[str, str]:
        """Return the function's own variables and those that Lambda defines.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
        """
        own = {str(name): str(value) for name, value in function.environment_vars.items()}
        return {
            **own,
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            **log_settings(function),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_SESSION_TOKEN": keys.session_token,
            "AWS_ENDPOINT_URL": self.endpoint,
        }


def _extend_search_paths(variables: dict[str, str], code: DeployedCode) -> None:
    """Let the runtime find layers, and Node.js also the code and the AWS SDK.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
    """
    runtime = code.local.runtime
    if code.layers is not None:
        paths.extend(variables, paths.search_paths([code.layers], runtime))
    if runtime.startswith("nodejs"):
        folders = [*runtimes.node_packages(), code.local.path]
        paths.extend(variables, {"NODE_PATH": [str(folder) for folder in folders]})


def log_settings(function: LambdaFunction) -> dict[str, str]:
    """Return the environment variables that tell the runtime how to log.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
    """
    config = logging_config(function)
    if config.get("LogFormat") != "JSON":
        return {}
    return {
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": config.get("ApplicationLogLevel") or "INFO",
    }
