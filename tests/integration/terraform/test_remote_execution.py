"""Apps whose Terraform runs in HCP Terraform are recognised before anything is done."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from terralive_stub.errors import ConfigurationError
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.substitution.find_app import find_app
from terralive_testing.machine.certificates import Authority

TOKEN = "the-users-token"
FUNCTION = 'resource "aws_lambda_function" "api" {}\n'


@dataclass
class HcpTerraform:
    """The workspaces API on loopback: https://developer.hashicorp.com/terraform/cloud-docs/api-docs/workspaces.

    Attributes:
        host: its host name, with a port.
        bundle: the authority that signs its certificate.
        modes: the execution mode of each workspace of the organization acme.
        asked: the tokens that were sent with each request.
    """

    host: str
    bundle: Path
    modes: dict[str, str] = field(
        default_factory=lambda: {
            "orders-local": "local",
            "orders-remote": "remote",
            "orders-agent": "agent",
            "orders-moved": "redirect",
            "orders-odd": "odd",
            "orders-broken": "broken",
        }
    )
    asked: list[str] = field(default_factory=list)

    def environment(self, home: Path, *, token: str = TOKEN) -> dict[str, str]:
        """Return the environment of a user who has signed in with `terraform login`."""
        credentials = home / ".terraform.d" / "credentials.tfrc.json"
        credentials.parent.mkdir(parents=True, exist_ok=True)
        credentials.write_text(json.dumps({"credentials": {self.host: {"token": token}}}))
        return {"HOME": str(home), "SSL_CERT_FILE": str(self.bundle)}


@pytest.fixture
def hcp(tmp_path: Path) -> Iterator[HcpTerraform]:
    authority = Authority.create(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(self.headers["Authorization"])
            prefix = "/api/v2/organizations/acme/workspaces/"
            mode = fake.modes.get(self.path.removeprefix(prefix))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.send_error(401)
            elif mode == "redirect":
                self.send_response(302)
                self.send_header("Location", f"https://{fake.host}{prefix}orders-local")
                self.end_headers()
            elif mode == "odd":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<html>")
            elif mode == "broken":
                self.send_error(500)
            elif mode is None:
                self.send_error(404)
            else:
                self.send_response(200)
                self.end_headers()
                document = {"data": {"attributes": {"execution-mode": mode}}}
                self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = authority.server.wrap_socket(server.socket, server_side=True)
    fake = HcpTerraform(f"127.0.0.1:{server.server_port}", authority.bundle)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def project(folder: Path, **files: str) -> Path:
    folder.mkdir()
    (folder / "main.tf").write_text(FUNCTION)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def cloud(host: str, workspaces: str) -> str:
    return (
        f'terraform {{\n  cloud {{\n    hostname = "{host}"\n    organization = "acme"\n'
        f"    workspaces {{\n      {workspaces}\n    }}\n  }}\n}}\n"
    )


def opened(
    folder: Path,
    environment: dict[str, str],
    backend_config: tuple[str, ...] = (),
    state: Path | None = None,
) -> None:
    app = find_app(folder, backend_config=backend_config)
    with app.opened(folder.parent / "work", environment, state):
        pass


def refusal(folder: Path, environment: dict[str, str], backend_config: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigurationError) as caught:
        opened(folder, environment, backend_config)
    assert caught.value.reference == "remote-execution"
    assert "TF_FORCE_LOCAL_BACKEND" in caught.value.hint
    assert TOKEN not in str(caught.value)
    assert not (folder / ".terraform").exists()
    return caught.value.message


@pytest.mark.parametrize("mode", ["remote", "agent"])
def test_a_workspace_that_runs_elsewhere_is_refused_by_name(
    tmp_path: Path, hcp: HcpTerraform, mode: str
) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, f'name = "orders-{mode}"'))
    message = refusal(folder, hcp.environment(tmp_path))
    assert f"acme/orders-{mode} on {hcp.host}" in message
    assert f"execution mode is {mode}" in message


def test_a_workspace_that_only_keeps_the_state_is_used(tmp_path: Path, hcp: HcpTerraform) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, 'name = "orders-local"'))
    opened(folder, hcp.environment(tmp_path))
    assert hcp.asked == [f"Bearer {TOKEN}"]


def test_a_refusal_says_why_the_mode_is_not_known(tmp_path: Path, hcp: HcpTerraform) -> None:
    known = project(tmp_path / "known", cloud__tf=cloud(hcp.host, 'name = "orders-local"'))
    signed_in = hcp.environment(tmp_path)
    assert f"no token for {hcp.host}" in refusal(known, {"HOME": "/nonexistent"})
    assert "HTTP 401" in refusal(known, hcp.environment(tmp_path / "b", token="other"))
    for name, fact in {"new": "HTTP 404", "broken": "HTTP 500", "odd": "JSON"}.items():
        folder = project(tmp_path / name, cloud__tf=cloud(hcp.host, f'name = "orders-{name}"'))
        assert fact in refusal(folder, signed_in)
    silent = project(tmp_path / "silent", cloud__tf=cloud("127.0.0.1:9", 'name = "orders-local"'))
    with_token = {**signed_in, "TF_TOKEN_127_0_0_1:9": TOKEN}
    assert os.strerror(errno.ECONNREFUSED) in refusal(silent, with_token)
    trusts_nobody = {**signed_in, "SSL_CERT_FILE": ""}
    assert "certificate" in refusal(known, trusts_nobody)
    unnamed = project(tmp_path / "unnamed", cloud__tf="terraform {\n  cloud {}\n}\n")
    assert "organization" in refusal(unnamed, signed_in)


@pytest.mark.parametrize("form", ["variable", "file", "file in JSON", "argument"])
def test_what_an_init_gets_for_the_backend_is_read(
    tmp_path: Path, hcp: HcpTerraform, form: str
) -> None:
    """A partial `backend "remote"`: https://developer.hashicorp.com/terraform/language/backend#partial-configuration."""
    block = 'terraform {\n  backend "remote" {\n    organization = "other"\n  }\n}\n'
    folder = project(tmp_path / "p", backend__tf=block)
    environment = hcp.environment(tmp_path)
    given = [f"hostname={hcp.host}", "organization=acme"]
    native = (
        f'hostname = "{hcp.host}"\norganization = "acme"\n'
        'workspaces {\n  name = "orders-remote"\n}\n'
    )
    backend_config: tuple[str, ...] = ()
    if form == "variable":
        environment["TF_CLI_ARGS_init"] = " ".join(f"-backend-config={item}" for item in given)
        environment["TF_CLI_ARGS"] = "-lock=false"
        environment["TF_WORKSPACE"] = "orders-remote"
    elif form == "file":
        (folder / "dev.tfbackend").write_text(native)
        environment["TF_CLI_ARGS_init"] = "-backend-config dev.tfbackend"
    elif form == "file in JSON":
        workspaces = {"name": "orders-remote"}
        document = {"hostname": hcp.host, "organization": "acme", "workspaces": workspaces}
        (folder / "dev.tfbackend.json").write_text(json.dumps(document))
        backend_config = (str(folder / "dev.tfbackend.json"),)
    else:
        backend_config = tuple(given)
        environment["TF_CLI_ARGS_init"] = "-backend-config=organization=wrong"
        environment["TF_WORKSPACE"] = "orders-remote"
    message = refusal(folder, environment, backend_config)
    assert f"acme/orders-remote on {hcp.host}" in message
    assert "mode is remote" in message


@pytest.mark.parametrize("variable", ["TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"])
def test_a_token_in_a_named_cli_configuration_is_used(
    tmp_path: Path, hcp: HcpTerraform, variable: str
) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, 'name = "orders-local"'))
    (tmp_path / "named.tfrc").write_text(f'credentials "{hcp.host}" {{\n  token = "{TOKEN}"\n}}\n')
    named = {variable: str(tmp_path / "named.tfrc"), "SSL_CERT_FILE": str(hcp.bundle)}
    opened(folder, named)
    assert hcp.asked == [f"Bearer {TOKEN}"]


def test_a_token_goes_to_its_own_host_only(tmp_path: Path, hcp: HcpTerraform) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, 'name = "orders-moved"'))
    assert "HTTP 302" in refusal(folder, hcp.environment(tmp_path))
    assert len(hcp.asked) == 1


def test_all_ways_to_name_a_workspace_are_read(tmp_path: Path, hcp: HcpTerraform) -> None:
    environment = hcp.environment(tmp_path)
    remote = (
        f'terraform {{\n  backend "remote" {{\n    hostname = "{hcp.host}"\n'
        '    organization = "acme"\n    workspaces {\n      prefix = "orders-"\n    }\n  }\n}\n'
    )
    document = {"terraform": {"cloud": {"workspaces": {"name": "orders-remote"}}}}
    named = {"TF_CLOUD_ORGANIZATION": "acme", "TF_CLOUD_HOSTNAME": hcp.host}
    s3 = 'terraform {\n  backend "s3" {}\n}\n'
    for number, (files, variables) in enumerate(
        [
            ({"backend__tf": remote}, {"TF_WORKSPACE": "remote"}),
            (
                {"cloud__tf": "terraform {\n  cloud {}\n}\n"},
                {**named, "TF_WORKSPACE": "orders-remote"},
            ),
            ({"cloud__tf": cloud(hcp.host, 'tags = ["a"]')}, {"TF_WORKSPACE": "orders-remote"}),
            ({"cloud__tf__json": json.dumps(document)}, named),
            (
                {"a__tf": s3, "a_override__tf": cloud(hcp.host, 'name = "orders-remote"')},
                {},
            ),
        ]
    ):
        folder = project(tmp_path / str(number), **files)
        assert "acme/orders-remote" in refusal(folder, {**environment, **variables})


def test_other_backends_are_none_of_hcp_terraform(tmp_path: Path, hcp: HcpTerraform) -> None:
    local = 'terraform {\n  backend "local" {}\n}\n'
    run_here = cloud(hcp.host, 'name = "orders-remote"')
    folders = [
        project(tmp_path / "none"),
        project(tmp_path / "local", backend__tf=local),
        # An override file replaces the block, as Terraform does it.
        project(tmp_path / "replaced", cloud__tf=run_here, override__tf=local),
        project(tmp_path / "text", main2__tf='# cloud {}\nlocals {\n  a = "cloud {}"\n}\n'),
    ]
    for folder in folders:
        opened(folder, hcp.environment(tmp_path))
    assert hcp.asked == []


def test_terraform_that_is_told_to_run_here_is_believed(tmp_path: Path, hcp: HcpTerraform) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, 'name = "orders-remote"'))
    opened(folder, {**hcp.environment(tmp_path), "TF_FORCE_LOCAL_BACKEND": "1"})


def test_the_sandbox_replaces_the_backend_and_needs_no_workspace(
    tmp_path: Path, hcp: HcpTerraform
) -> None:
    folder = project(tmp_path / "p", cloud__tf=cloud(hcp.host, 'name = "orders-remote"'))
    environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    opened(folder, environment, state=tmp_path / "app.tfstate")


def test_a_cdktf_program_with_a_cloud_backend_is_recognised(
    tmp_path: Path, hcp: HcpTerraform
) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    block = {"hostname": hcp.host, "organization": "acme", "workspaces": {"name": "orders-remote"}}
    document = json.dumps({"terraform": {"cloud": block}})
    (tmp_path / "main.py").write_text(
        "import os, pathlib\n"
        "stack = pathlib.Path(os.environ['CDKTF_OUTDIR'], 'stacks', 'orders')\n"
        "stack.mkdir(parents=True, exist_ok=True)\n"
        f"(stack / 'cdk.tf.json').write_text({document!r})\n"
    )
    app = CdktfApp(tmp_path, "python main.py", {})
    environment = {**hcp.environment(tmp_path), "JSII_NODE": str(node)}
    with (
        app.opened(tmp_path / "work", environment) as open_app,
        pytest.raises(ConfigurationError, match="acme/orders-remote") as caught,
    ):
        open_app.discovered(None)
    assert caught.value.reference == "remote-execution"
