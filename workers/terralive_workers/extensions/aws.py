"""Clients of AWS with the credentials of one worker.

They know this worker's environment only: nothing of the developer's own identity, profile or
endpoint is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Final

# As AWS's SDKs wait.
_SECONDS: Final = 60.0


class WorkerClients:
    """Clients with the credentials, the region and the endpoints in a worker's environment.

    Args:
        environment: the worker's environment variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        # Guards the attribute below it: clients are made one at a time.
        self._lock = threading.Lock()
        # The clients that were made, by service.
        self._clients: dict[str, Any] = {}

    def client(self, service: str, *, region: str = "", timeout_s: float = _SECONDS) -> Any:  # noqa: ANN401  # boto3 makes clients at run time
        """Return the worker's client of a service.

        Args:
            service: its name for boto3.
            region: a region other than the worker's.
            timeout_s: the number of seconds for which an answer is awaited.
        """
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service, region, timeout_s)
            return self._clients[service]

    def _make(self, service: str, region: str, timeout_s: float) -> Any:  # noqa: ANN401  # as above
        import botocore.session  # noqa: PLC0415  # heavy
        from botocore.config import Config  # noqa: PLC0415  # heavy

        environment = self._environment
        # No variable and no file of the developer's is read for a profile or an endpoint.
        nothing = (None, None, os.devnull, None)
        session = botocore.session.Session(
            {
                "profile": (None, None, None, None),
                "config_file": nothing,
                "credentials_file": nothing,
                "ignore_configured_endpoint_urls": (None, None, True, None),
            }
        )
        return session.create_client(
            service,
            region_name=region or environment.get("AWS_REGION"),
            endpoint_url=_endpoint(environment, service),
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID", ""),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY", ""),
            aws_session_token=environment.get("AWS_SESSION_TOKEN", ""),
            config=Config(connect_timeout=timeout_s, read_timeout=timeout_s),
        )


def _endpoint(environment: Mapping[str, str], service: str) -> str | None:
    """Return the endpoint that a worker's environment names for a service; None for AWS's.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    name = _ENDPOINT_NAMES.get(service, service.upper())
    for variable in (f"AWS_ENDPOINT_URL_{name}", "AWS_ENDPOINT_URL"):
        if environment.get(variable):
            return environment[variable]
    return None


# Services whose variable is not just their name in capitals: it is made from their service id.
_ENDPOINT_NAMES: Final = {"secretsmanager": "SECRETS_MANAGER"}
