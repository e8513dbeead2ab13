"""The AppConfig Agent extension of one worker.

https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-lambda-extensions.html
It must never log a configuration.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from terralive_workers.extensions.answers import Answer, Log, Question, document, plain
from terralive_workers.extensions.aws import WorkerClients
from terralive_workers.extensions.cache import number
from terralive_workers.extensions.kinds import APPCONFIG

_log: Final = logging.getLogger("terralive.workers")
_NOT_FOUND: Final = plain(404, "the extension has no such path")
# Data with variants of flags, which the agent chooses from, is not JSON:
# https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-agent-how-to-use-local-development-samples.html
_VARIANTS: Final = "application/ion"
_ROLE: Final = "AWS_APPCONFIG_EXTENSION_ROLE_ARN"
_UNREACHABLE: Final = 502


@dataclass(slots=True)
class _Session:
    """A session of AppConfig, and the newest configuration of it.

    https://docs.aws.amazon.com/appconfig/latest/APIReference/API_appconfigdata_GetLatestConfiguration.html

    Attributes:
        token: the token of the next question; "" before the session's start.
        due: the time of the next question, on the monotonic clock.
        content: the newest configuration; None before the first answer.
        content_type: its content type.
        label: the label of its version; "" for none.
    """

    token: str = field(default="", repr=False)
    due: float = 0.0
    content: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    label: str = ""


class AppConfig:
    """Answers a worker's requests for configurations. Thread-safe.

    The configuration is asked for anew when a request comes after the poll interval.

    Args:
        environment: the worker's environment variables.
        clients: its clients of AWS.
        log: takes lines for the function's log.
    """

    def __init__(self, environment: Mapping[str, str], clients: WorkerClients, log: Log) -> None:
        self._environment = environment
        self._clients = clients
        self._log = log
        self._interval_s = number(environment, "AWS_APPCONFIG_EXTENSION_POLL_INTERVAL_SECONDS", 45)
        # Guards the attribute below it, also while AWS is asked: a token is good for one question.
        self._lock = threading.Lock()
        # By application, environment and configuration profile.
        self._sessions: dict[tuple[str, ...], _Session] = {}

    def answer(self, question: Question) -> Answer:
        """Answer a request."""
        match [unquote(part) for part in question.path.split("/")]:
            case ["", "applications", app, "environments", stage, "configurations", profile] if (
                question.method == "GET"
            ):
                names = (app, stage, profile)
            case _:
                return _NOT_FOUND
        if self._environment.get(_ROLE):
            return self._refused(501, f"{_ROLE} is set, and no role is assumed here")
        with self._lock:
            session = self._sessions.setdefault(names, _Session())
            failure = self._refresh(session, names)
            if session.content is None:
                return failure or _NOT_FOUND
            return self._shown(session, question.query.get("flag", []))

    def _refresh(self, session: _Session, names: tuple[str, ...]) -> Answer | None:
        """Ask AWS if it is time; return its refusal. What is known stays.

        The lock is held.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        now = time.monotonic()
        if session.content is not None and now < session.due:
            return None
        try:
            self._ask(session, names)
        except ClientError as error:
            session.token = ""  # it may have expired: the next question begins a session
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _UNREACHABLE)
            return self._refused(status, str(error))
        except BotoCoreError as error:
            return self._refused(_UNREACHABLE, str(error))
        finally:
            session.due = now + self._interval_s
        return None

    def _ask(self, session: _Session, names: tuple[str, ...]) -> None:
        client = self._client()
        if not session.token:
            app, stage, profile = names
            started = client.start_configuration_session(
                ApplicationIdentifier=app,
                EnvironmentIdentifier=stage,
                ConfigurationProfileIdentifier=profile,
            )
            session.token = started["InitialConfigurationToken"]
        found = client.get_latest_configuration(ConfigurationToken=session.token)
        session.token = found["NextPollConfigurationToken"]
        content = found["Configuration"].read()
        # An empty answer says that nothing is new.
        if content or session.content is None:
            session.content = content
            session.content_type = found.get("ContentType", "application/octet-stream")
            session.label = found.get("VersionLabel", "")

    def _client(self) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        timeout_ms = number(self._environment, "AWS_APPCONFIG_EXTENSION_POLL_TIMEOUT_MILLIS", 3000)
        return self._clients.client(
            "appconfigdata",
            region=self._environment.get("AWS_APPCONFIG_EXTENSION_SERVICE_REGION", ""),
            timeout_s=max(timeout_ms, 1) / 1000,
        )

    def _shown(self, session: _Session, flags: Sequence[str]) -> Answer:
        """Return a configuration, or the flags of it that were asked for."""
        content = session.content or b""
        if session.content_type.startswith(_VARIANTS):
            return self._refused(501, "variants of flags are not chosen here")
        if flags:
            return flags_of(content, flags)
        headers = {"Content-Type": session.content_type}
        if session.label:
            headers["Version-Label"] = session.label
        return Answer(200, content, headers)

    def _refused(self, status: int, reason: str) -> Answer:
        """Return an error. The reason is a line of the function's log, too."""
        _log.debug("the AppConfig extension answers %d", status)
        self._log(f"[{APPCONFIG.name}] ERROR {reason}")
        return plain(status, reason)


def flags_of(content: bytes, names: Sequence[str]) -> Answer:
    """Return the attributes of one flag, or an object of several flags.

    https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-retrieving-feature-flags.html
    """
    try:
        flags = json.loads(content)
    except ValueError:
        flags = None
    if not isinstance(flags, dict):
        return plain(400, "the configuration is no set of feature flags")
    missing = [name for name in names if name not in flags]
    if missing:
        return plain(404, f"the configuration has no flag {', '.join(missing)}")
    if len(names) == 1:
        return document(flags[names[0]])
    return document({name: flags[name] for name in names})
