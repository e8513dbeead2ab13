"""Asks HCP Terraform or Terraform Enterprise where the runs of a workspace happen."""

from __future__ import annotations

import json
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final

from terralive_stub.shared.json_documents import as_object, section, text
from terralive_terraform.discovery.remote_execution import RemoteWorkspace
from terralive_terraform.runs.cli_configuration import users_configuration

_TIMEOUT_S: Final = 10.0


def execution_mode(workspace: RemoteWorkspace, environment: Mapping[str, str]) -> str:
    """Return the execution mode of a workspace: `local`, `remote` or `agent`.

    It is "" where it cannot be known from here: no token, no such workspace, no answer.
    https://developer.hashicorp.com/terraform/cloud-docs/api-docs/workspaces#show-workspace
    """
    token = workspace.token or _token(workspace.host, environment)
    if not token or not workspace.organization or not workspace.name:
        return ""
    path = "/".join(
        urllib.parse.quote(part, safe="")
        for part in ("organizations", workspace.organization, "workspaces", workspace.name)
    )
    request = urllib.request.Request(
        f"https://{workspace.host}/api/v2/{path}",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.api+json"},
    )
    context = ssl.create_default_context(cafile=environment.get("SSL_CERT_FILE") or None)
    https = urllib.request.HTTPSHandler(context=context)
    try:
        opener = urllib.request.build_opener(https, _NoRedirects)
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            document = json.load(answer)
    except (OSError, ValueError):  # an answer that is no success is an OSError, too
        return ""
    data = section(as_object(document), "data")
    return text(section(data, "attributes"), "execution-mode")


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
