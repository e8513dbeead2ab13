"""Start an execution environment: credentials of the role, environment variables, log stream.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.environments.environment import ExecutionEnvironment, Setup
from terralive_sandbox.functions.environments.isolation import isolated
from terralive_sandbox.functions.environments.workspace import Workspace
from terralive_sandbox.functions.logs import FunctionLog, LogStream, Write, logging_config
from terralive_workers.environment import worker_environment
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.runtime_api import RuntimeApi


class EnvironmentBuilder:
    """Start execution environments. It belongs to the event loop.

    Args:
        endpoint: the value of `AWS_ENDPOINT_URL` for functions.
        region: the sandbox's region.
        control: the control plane.
        write_log: takes a line of a log stream; must not block.
        workspace: the place of the environments' `/tmp` folders.
        api: the Runtime API that the environments' processes call.
        namespace: the beginning of a command line that gives a process its own mounts, or ().
    """

    def __init__(
        self,
        endpoint: str,
        region: str,
        control: ControlPlane,
        *,
        write_log: Write,
        workspace: Workspace,
        api: RuntimeApi,
        namespace: tuple[str, ...],
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._control = control
        self._write_log = write_log
        self._workspace = workspace
        self._api = api
        self._namespace = namespace
        # The sandbox's own environment variables that a function may see.
        self._local: dict[str, str] = {}
        for name, value in os.environ.items():
            if not name.startswith(("AWS_", "MOTO_", "TERRALIVE_")):
                self._local[name] = value

    async def build(self, function: LambdaFunction, local: LocalFunction) -> ExecutionEnvironment:
        """Start an environment of a function whose code is unpacked at `local.path`."""
        # Each environment has credentials of its own, as in Lambda.
        keys = await asyncio.wrap_future(
            self._control.call(identity.assume, function.role, function.function_name, self._region)
        )
        stream = _stream_name(function)
        # The role's policies decide what reaches the log. They are read once for each environment.
        documents = identity.role_documents(function.role)
        log = FunctionLog(LogStream(function.logs_group_name, stream, documents), self._write_log)
        scratch = self._workspace.new_folder("tmp-")
        remote = self._variables(function, stream, keys)

        def variables(runtime_api: str) -> Mapping[str, str]:
            found = worker_environment(remote, local, runtime_api, self._local, live=False)
            if self._namespace:
                found["TMPDIR"] = "/tmp"  # noqa: S108  # each environment has its own /tmp
            else:
                found["TMPDIR"] = str(scratch)
            return found

        launch = launch_of(local)
        setup = Setup(
            command=isolated(launch.command, local.path, scratch, self._namespace),
            own_port=launch.own_port,
            task_root=local.path,
            scratch=scratch,
            variables=variables,
            log=log,
            made=time.time(),
        )
        return ExecutionEnvironment(setup, self._api)

    def _variables(
        self, function: LambdaFunction, stream: str, keys: identity.Keys
    ) -> dict[str, str]:
        """Return the function's own variables and those that Lambda defines.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
        """
        variables = {str(name): str(value) for name, value in function.environment_vars.items()}
        variables.update(
            {
                "AWS_REGION": self._region,
                "AWS_DEFAULT_REGION": self._region,
                "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
                "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
                **log_settings(function),
                "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
                "AWS_LAMBDA_LOG_STREAM_NAME": stream,
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
                "AWS_SESSION_TOKEN": keys.session_token,
                "AWS_ENDPOINT_URL": self._endpoint,
            }
        )
        return variables


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


def _stream_name(function: LambdaFunction) -> str:
    """Return the name of a new log stream, in Lambda's form `2026/01/31/[$LATEST]…`."""
    day = time.strftime("%Y/%m/%d", time.gmtime())
    return f"{day}/[{function.version}]{uuid.uuid4().hex}"
