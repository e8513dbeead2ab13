"""Asks HCP Terraform or Terraform Enterprise where the runs of a workspace happen."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from terralive_stub.shared.json_documents import as_object, section, text
from terralive_terraform.discovery.remote_execution import ExecutionMode, RemoteWorkspace
from terralive_terraform.runs.cli_configuration import users_configuration

_TIMEOUT_S: Final = 10.0


def execution_mode(workspace: RemoteWorkspace, environment: Mapping[str, str]) -> ExecutionMode:
    """Return the execution mode of a workspace, or the reason why it is not known.

    https://developer.hashicorp.com/terraform/cloud-docs/api-docs/workspaces#show-workspace
    """
    if not workspace.organization or not workspace.name:
        return ExecutionMode(reason="its organization or its name is not known before an init")
    token = workspace.token or _token(workspace.host, environment)
    if not token:
        return ExecutionMode(reason=f"there is no token for {workspace.host}")
    path = "/".join(
        urllib.parse.quote(part, safe="")
        for part in ("organizations", workspace.organization, "workspaces", workspace.name)
    )
    request = urllib.request.Request(
        f"https://{workspace.host}/api/v2/{path}",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.api+json"},
    )
    return _ask(request, workspace.host, environment.get("SSL_CERT_FILE"))


def _ask(request: urllib.request.Request, host: str, authorities: str | None) -> ExecutionMode:
    try:
        context = ssl.create_default_context(cafile=authorities or None)
        https = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(https, _NoRedirects)
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return ExecutionMode(reason=_refused(host, error.code))
    except OSError as error:
        reason = getattr(error, "reason", error)
        return ExecutionMode(reason=f"{host} does not answer: {reason}")
    except ValueError:
        return ExecutionMode(reason=f"the answer of {host} is no JSON")
    data = section(as_object(document), "data")
    mode = text(section(data, "attributes"), "execution-mode")
    if not mode:
        return ExecutionMode(reason=f"the answer of {host} has none")
    return ExecutionMode(mode)


def _refused(host: str, status: int) -> str:
    """Return what an HTTP status says in the answer to a question about a workspace."""
    if status == HTTPStatus.UNAUTHORIZED:
        return f"{host} does not accept the token (HTTP {status})"
    if status == HTTPStatus.NOT_FOUND:
        return f"the token sees no such workspace (HTTP {status})"
    return f"{host} answers with HTTP {status}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is for this host."""

    def redirect_request(self, *_: object) -> None:
        return


def _token(host: str, environment: Mapping[str, str]) -> str:
    """Return the user's token for a host; "" where there is none in the usual places.

    https://developer.hashicorp.com/terraform/cli/config/config-file#credentials
    """
    variable = f"TF_TOKEN_{host.replace('-', '__').replace('.', '_')}"
    named = environment.get(variable)
    if named:
        return named
    return users_configuration(environment).tokens.get(host, "")
