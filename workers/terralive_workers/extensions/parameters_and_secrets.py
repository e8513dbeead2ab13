"""The Parameters and Secrets extension of one worker.

AWS describes requests, variables and the token at
https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html and
https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html.
It does not describe the errors. Their statuses and texts are those that users of the extension
report: 400 for whatever AWS refuses, with the reason in the function's log, and 400 before the
first invocation.

It must never log a value.
"""

from __future__ import annotations

import base64
import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from terralive_workers.extensions.answers import Answer, Log, Question, document, plain
from terralive_workers.extensions.aws import WorkerClients
from terralive_workers.extensions.cache import Cache, CacheSettings, number
from terralive_workers.extensions.kinds import PARAMETERS_AND_SECRETS

TOKEN_HEADER: Final = "x-aws-parameters-secrets-token"  # noqa: S105  # a header's name
_log: Final = logging.getLogger("terralive.workers")
_FAILED: Final = plain(400, "an unexpected error occurred while executing request")
_NOT_READY: Final = plain(400, "not ready to serve traffic, please wait")
_NO_TOKEN: Final = plain(401, "the token is missing or is not AWS_SESSION_TOKEN of the function")
_NOT_FOUND: Final = plain(404, "the extension has no such path")
# The members of an answer, those without a value, too.
_PARAMETER: Final = (
    "ARN",
    "DataType",
    "LastModifiedDate",
    "Name",
    "Selector",
    "SourceResult",
    "Type",
    "Value",
    "Version",
)
_SECRET: Final = (
    "ARN",
    "CreatedDate",
    "Name",
    "SecretBinary",
    "SecretString",
    "VersionId",
    "VersionStages",
)


class ParametersAndSecrets:
    """Answers a worker's requests for parameters and secrets. Thread-safe.

    Args:
        environment: the worker's environment variables.
        clients: its clients of AWS.
        has_begun: tells whether the worker has had an invocation.
        log: takes lines for the function's log.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        clients: WorkerClients,
        has_begun: Callable[[], bool],
        log: Log,
    ) -> None:
        self._environment = environment
        self._clients = clients
        self._has_begun = has_begun
        self._log = log
        self._settings = CacheSettings.of(environment)
        # Guards the attribute below it. Not held while AWS is asked.
        self._lock = threading.Lock()
        self._cache = Cache(self._settings.size)

    def answer(self, question: Question) -> Answer:
        """Answer a request."""
        if not has_token(question, self._environment):
            return _NO_TOKEN
        if not self._has_begun():
            return _NOT_READY
        match question.path:
            case "/systemsmanager/parameters/get" if question.method == "GET":
                ask, seconds = self._parameter, self._settings.parameters_s
            case "/secretsmanager/get" if question.method == "GET":
                ask, seconds = self._secret, self._settings.secrets_s
            case _:
                return _NOT_FOUND
        parameters = ((name, tuple(values)) for name, values in question.query.items())
        key = (question.path, tuple(sorted(parameters)))
        with self._lock:
            kept = self._cache.get(key, time.monotonic())
        if kept is not None:
            return kept
        answer = self._asked(ask, question)
        if answer.status == 200:  # noqa: PLR2004  # OK
            now = time.monotonic()
            with self._lock:
                self._cache.put(key, answer, now + seconds, now)
        return answer

    def _asked(self, ask: Callable[[Question], Answer], question: Question) -> Answer:
        """Ask AWS. What it refuses, and why, is a line of the function's log."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            return ask(question)
        except (BotoCoreError, ClientError, ValueError) as error:
            _log.debug("the Parameters and Secrets extension: %s", type(error).__name__)
            self._log(f"[{PARAMETERS_AND_SECRETS.name}] ERROR {question.path}: {error}")
            return _FAILED

    def _parameter(self, question: Question) -> Answer:
        """Get a parameter; `name`, and perhaps `version` or `label`, and `withDecryption`.

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
        """
        name = question.value("name")
        selector = question.value("version") or question.value("label")
        if selector:
            name += f":{selector}"
        client = self._clients.client("ssm", timeout_s=self._timeout("SSM_PARAMETER_STORE"))
        found = client.get_parameter(
            Name=name, WithDecryption=question.value("withDecryption").lower() == "true"
        )
        return document({"Parameter": _shown(found["Parameter"], _PARAMETER), "ResultMetadata": {}})

    def _secret(self, question: Question) -> Answer:
        """Get a secret; `secretId`, and perhaps `versionId` or `versionStage`.

        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
        """
        names = {
            "SecretId": question.value("secretId"),
            "VersionId": question.value("versionId"),
            "VersionStage": question.value("versionStage"),
        }
        given = {name: value for name, value in names.items() if value}
        client = self._clients.client("secretsmanager", timeout_s=self._timeout("SECRETS_MANAGER"))
        found = client.get_secret_value(**given)
        return document({**_shown(found, _SECRET), "ResultMetadata": {}})

    def _timeout(self, service: str) -> float:
        """Return the seconds for which AWS's answer is awaited; the SDK's where 0 is set."""
        milliseconds = number(self._environment, f"{service}_TIMEOUT_MILLIS", 0)
        if milliseconds == 0:
            return 60.0
        return milliseconds / 1000


def has_token(question: Question, environment: Mapping[str, str]) -> bool:
    """Tell whether a request carries the token of the worker with this environment."""
    token = environment.get("AWS_SESSION_TOKEN", "")
    given = question.headers.get(TOKEN_HEADER, "")
    return bool(token) and hmac.compare_digest(token.encode(), given.encode())


def _shown(found: Mapping[str, object], members: tuple[str, ...]) -> dict[str, object]:
    """Return members of an answer of AWS as JSON has them; None for those without a value."""
    return {member: _json(found.get(member)) for member in members}


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
