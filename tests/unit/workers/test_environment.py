from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_workers.environment import (
    LeftOut,
    credentials_key,
    environment_key,
    left_out,
    worker_environment,
)
from terralive_workers.function import LocalFunction
from terralive_workers.variables.names import DATA_PATHS, SEARCH_PATHS

FUNCTION = LocalFunction(
    name="orders",
    arn="arn:aws:lambda:eu-west-1:123456789012:function:orders",
    address="aws_lambda_function.orders",
    runtime="python3.12",
    handler="app.handler",
    path=Path("/home/ana/orders"),
    python=Path("/usr/bin/python3"),
)
LAMBDA = {
    "PATH": "/var/lang/bin:/usr/bin",
    "HOME": "/home/sbx_user1051",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": "/var/lang/lib:/opt/lib",
    "TZ": ":UTC",
    "PYTHONPATH": "/var/runtime",
    "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LAMBDA_TASK_ROOT": "/var/task",
    "_HANDLER": "terralive_stub.live.handler",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.14",
    "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
    "_AWS_XRAY_DAEMON_PORT": "2000",
    "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[7]abc",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "ASIAROLE",
    "AWS_SECRET_ACCESS_KEY": "role-secret",
    "AWS_SESSION_TOKEN": "role-token",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4567",
    "TABLE": "orders-dev",
}
LAPTOP = {
    "PATH": "/usr/local/bin:/usr/bin",
    "HOME": "/home/ana",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TMPDIR": "/scratch/ana",
    "TZ": "Europe/Berlin",
    "PYTHONPATH": "/home/ana/lib",
    "HTTPS_PROXY": "http://proxy:3128",
    "AWS_CA_BUNDLE": "/etc/company.pem",
    "AWS_PROFILE": "ana",
    "AWS_DEFAULT_PROFILE": "ana",
    "AWS_CONFIG_FILE": "/home/ana/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/home/ana/.aws/credentials",
    "AWS_ACCESS_KEY_ID": "AKIAANA",
    "AWS_SECRET_ACCESS_KEY": "anas-secret",
    "AWS_SESSION_TOKEN": "anas-token",
    "AWS_SSO_SESSION": "acme",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/admin",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/creds",
    "AWS_REGION": "us-east-1",
    "GITHUB_TOKEN": "ghp_secret",
    "TABLE": "mine",
}


def environment(
    remote: dict[str, str] | None = None, local: dict[str, str] | None = None
) -> dict[str, str]:
    return worker_environment(
        LAMBDA if remote is None else remote,
        FUNCTION,
        "127.0.0.1:9/abc",
        LAPTOP if local is None else local,
    )


def test_a_worker_has_the_functions_own_variables_role_and_region() -> None:
    got = environment()
    for name in (
        "TABLE",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ):
        assert got[name] == LAMBDA[name]
    assert got["AWS_LAMBDA_FUNCTION_VERSION"] == "7"
    assert got["AWS_LAMBDA_LOG_STREAM_NAME"] == "2026/01/01/[7]abc"


def test_endpoints_of_the_function_are_kept_so_that_it_uses_the_sandbox() -> None:
    got = environment()
    assert got["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert got["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:4567"


def test_variables_that_describe_the_stub_describe_the_real_function() -> None:
    got = environment()
    assert got["_HANDLER"] == "app.handler"
    assert got["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert got["LAMBDA_TASK_ROOT"] == "/home/ana/orders"
    assert got["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:9/abc"
    assert got["TERRALIVE"] == "1"


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "HTTPS_PROXY", "AWS_CA_BUNDLE"]
)
def test_variables_that_programs_need_from_this_machine_are_those_of_this_machine(
    name: str,
) -> None:
    assert environment()[name] == LAPTOP[name]


def test_the_time_zone_is_that_of_lambda() -> None:
    assert environment()["TZ"] == "UTC"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", ":America/Sao_Paulo", "EST5EDT,M3.2.0/2,M11.1.0"])
def test_a_time_zone_that_the_team_has_set_is_the_functions(zone: str) -> None:
    assert environment(LAMBDA | {"TZ": zone})["TZ"] == zone


@pytest.mark.parametrize("colon", ["", ":"])
def test_a_time_zone_may_be_a_path_of_the_zones_folder(colon: str) -> None:
    remote = LAMBDA | {"TZ": f"{colon}/usr/share/zoneinfo/Asia/Tokyo"}
    assert environment(remote)["TZ"] == "Asia/Tokyo"
    assert "TZ" not in left_out(remote, FUNCTION, LAPTOP).names


def test_an_empty_time_zone_is_utc_and_no_news() -> None:
    assert environment(LAMBDA | {"TZ": ""})["TZ"] == "UTC"
    assert "TZ" not in left_out(LAMBDA | {"TZ": ""}, FUNCTION, LAPTOP).names


@pytest.mark.parametrize(
    "zone",
    [
        "/home/ana/secret",
        ":/etc/passwd",
        "../../etc/passwd",
        "/usr/share/zoneinfo/../../../etc/passwd",
        ":/usr/share/zoneinfo//etc/passwd",
    ],
)
def test_a_time_zone_cannot_name_a_file_of_this_machine(zone: str) -> None:
    assert environment(LAMBDA | {"TZ": zone})["TZ"] == "UTC"


@pytest.mark.parametrize("name", ["LANG", "LC_ALL", "LC_CTYPE"])
def test_a_language_that_the_team_has_set_replaces_all_settings_of_this_machine(name: str) -> None:
    got = environment(LAMBDA | {name: "pt_BR.UTF-8"})
    assert {key: value for key, value in got.items() if key.startswith(("LANG", "LC_"))} == {
        name: "pt_BR.UTF-8"
    }


@pytest.mark.parametrize(
    "name",
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_CA_BUNDLE"],
)
def test_proxies_and_trust_stores_of_the_function_are_not_used(name: str) -> None:
    got = environment(LAMBDA | {name: "http://proxy.vpc:3128"})
    assert got.get(name) == LAPTOP.get(name)


@pytest.mark.parametrize(
    "name",
    [
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "LAMBDA_RUNTIME_DIR",
        "AWS_LAMBDA_EXEC_WRAPPER",
        "AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
    ],
)
def test_variables_of_lambdas_image_are_not_taken_over(name: str) -> None:
    assert name not in environment()


def test_a_handler_never_gets_the_developers_identity() -> None:
    got = environment({"TABLE": "orders-dev"})
    mine = {
        name for name, value in got.items() if name.startswith("AWS_") and LAPTOP.get(name) == value
    }
    assert mine == {"AWS_CA_BUNDLE"}
    assert got["AWS_CONFIG_FILE"] == got["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert got["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "GITHUB_TOKEN" not in got


def test_search_paths_keep_the_folders_of_the_functions_code() -> None:
    got = environment({"PYTHONPATH": "/var/task/lib:/opt/python:/var/runtime:/var/task:vendored"})
    assert got["PYTHONPATH"] == "/home/ana/orders/lib:/home/ana/orders:vendored"


@pytest.mark.parametrize(
    "folder",
    [
        "/home/ana",
        "/scratch/x",
        "/var/task/../ana",
        "..",
        "lib/../../x",
        "~/x",
        "/home/ana/ordersx",
        "",
    ],
)
@pytest.mark.parametrize("name", sorted(SEARCH_PATHS))
def test_search_paths_keep_no_folder_outside_of_the_functions_code(name: str, folder: str) -> None:
    assert environment({name: f"{folder}:/var/task"})[name] == "/home/ana/orders"


@pytest.mark.parametrize("name", sorted(DATA_PATHS))
def test_files_of_libraries_are_those_of_the_functions_code_or_none(name: str) -> None:
    assert environment({name: "/var/task/data/x"})[name] == "/home/ana/orders/data/x"
    several = ("x:/home/ana/x", "/var/task/x:/home/ana/x", "file:///home/ana/x", "engine:x")
    for elsewhere in ("/opt/x", "/var/task/../x", "/home/ana/x", "~/x", "", *several):
        assert name not in environment({name: elsewhere})


def test_another_execution_environment_of_the_same_function_needs_no_other_worker() -> None:
    another = LAMBDA | {
        "AWS_ACCESS_KEY_ID": "ASIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "y",
        "_X_AMZN_TRACE_ID": "Root=1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[7]def",
    }
    assert environment_key(another) == environment_key(LAMBDA)
    assert credentials_key(another) != credentials_key(LAMBDA)


@pytest.mark.parametrize("name", ["TABLE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_REGION", "NEW"])
def test_another_value_of_a_variable_needs_another_worker(name: str) -> None:
    assert environment_key(LAMBDA | {name: "other"}) != environment_key(LAMBDA)


def test_the_keys_contain_no_secret() -> None:
    assert "role-secret" not in environment_key(LAMBDA) + credentials_key(LAMBDA)


def test_names_of_variables_that_are_left_out_are_reported_without_values() -> None:
    remote = LAMBDA | {
        "NODE_OPTIONS": "--enable-source-maps --import data:x",
        "BASH_ENV": "/x",
        "PYTHONPATH": "/var/task:/home/x",
        "HTTPS_PROXY": "http://proxy.vpc:3128",
        "CONFIG": "/var/task/config.json",
        "HOMEPAGE": "https://example.com/opt/x",
    }
    got = left_out(remote, FUNCTION, LAPTOP)
    assert got.names == (
        "AWS_LAMBDA_EXEC_WRAPPER",
        "BASH_ENV",
        "HTTPS_PROXY",
        "NODE_OPTIONS",
        "PYTHONPATH",
    )
    assert got.in_lambda == ("CONFIG",)
    assert environment(remote)["CONFIG"] == "/var/task/config.json"


def test_a_variable_that_is_the_same_on_this_machine_is_not_reported() -> None:
    same = {"HTTPS_PROXY": LAPTOP["HTTPS_PROXY"], "AWS_CONFIG_FILE": os.devnull}
    assert left_out(same, FUNCTION, LAPTOP) == LeftOut()


def test_variables_that_lambda_itself_sets_are_not_reported() -> None:
    own = {name: value for name, value in LAMBDA.items() if name != "AWS_LAMBDA_EXEC_WRAPPER"}
    assert left_out(own, FUNCTION, LAPTOP) == LeftOut()


def test_a_variable_that_the_project_allows_is_taken_over_as_it_is() -> None:
    remote = {"GIT_SSH_COMMAND": "ssh -v", "NODE_OPTIONS": "--require ./x.js"}
    function = replace(FUNCTION, allow_variables=("GIT_SSH_COMMAND",))
    got = worker_environment(remote, function, "127.0.0.1:9", LAPTOP)
    assert got["GIT_SSH_COMMAND"] == "ssh -v"
    assert "NODE_OPTIONS" not in got
    assert left_out(remote, function, LAPTOP).names == ("NODE_OPTIONS",)


def test_an_allowed_variable_cannot_describe_another_worker() -> None:
    mine = ("_HANDLER", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "TERRALIVE")
    function = replace(FUNCTION, allow_variables=mine)
    remote = dict.fromkeys(mine, "evil")
    got = worker_environment(remote, function, "127.0.0.1:9", LAPTOP)
    assert "evil" not in got.values()


def test_deployed_code_in_the_sandbox_has_lambdas_own_environment() -> None:
    own = {
        "NODE_OPTIONS": "--require ./x.js",
        "BASH_ENV": "/var/task/x",
        "TZ": "Asia/Tokyo",
        "LANG": "pt_BR.UTF-8",
        "GIT_SSH_COMMAND": "ssh -v",
        "CONFIG": "/opt/config",
    }
    got = worker_environment(own, FUNCTION, "127.0.0.1:9", LAPTOP, live=False)
    assert {name: got[name] for name in own} == own


def test_search_paths_of_deployed_code_lead_to_the_folders_of_its_code_and_layers() -> None:
    own = {"PYTHONPATH": "/opt/custom:/var/task/lib:/var/runtime:/srv/x", "NODE_PATH": "/opt"}
    layers = Path("/srv/layers")
    got = worker_environment(own, FUNCTION, "127.0.0.1:9", LAPTOP, live=False, layers=layers)
    assert got["PYTHONPATH"] == "/srv/layers/custom:/home/ana/orders/lib:/srv/x"
    assert got["NODE_PATH"] == "/srv/layers"
    got = worker_environment(own, FUNCTION, "127.0.0.1:9", LAPTOP, live=False)
    assert got["PYTHONPATH"] == "/home/ana/orders/lib:/srv/x"
    assert "NODE_PATH" not in got


def test_deployed_code_in_the_sandbox_does_not_get_the_variable_of_live_code() -> None:
    got = worker_environment(
        LAMBDA | {"TERRALIVE": "1"}, FUNCTION, "127.0.0.1:9", LAPTOP, live=False
    )
    assert "TERRALIVE" not in got


def test_an_environment_with_a_value_that_is_not_valid_text_has_a_key() -> None:
    """JSON can contain half a surrogate pair, for which the pool must not raise."""
    assert environment_key(LAMBDA | {"TABLE": "\ud800"}) != environment_key(LAMBDA)


def test_what_the_project_sets_for_local_runs_wins_and_is_no_news() -> None:
    own = replace(
        FUNCTION,
        variables=(("TABLE", "local"), ("NODE_OPTIONS", "--inspect"), ("TZ", "Asia/Tokyo")),
    )
    remote = LAMBDA | {"TZ": "Europe/Paris", "NODE_OPTIONS": "--require /opt/wrap.js"}
    got = worker_environment(remote, own, "127.0.0.1:9/abc", LAPTOP)
    assert (got["TABLE"], got["NODE_OPTIONS"], got["TZ"]) == ("local", "--inspect", "Asia/Tokyo")
    assert left_out(remote, own, LAPTOP) == left_out(LAMBDA, FUNCTION, LAPTOP)


def test_search_paths_end_with_what_layers_and_import_roots_have() -> None:
    paths = {"PATH": ["/opt-here/bin"], "PYTHONPATH": ["/home/ana/core", "/opt-here/python"]}
    remote = LAMBDA | {"PYTHONPATH": "/var/task/lib:/var/runtime"}
    got = worker_environment(remote, FUNCTION, "127.0.0.1:9/abc", LAPTOP, search_paths=paths)
    assert got["PATH"] == "/usr/local/bin:/usr/bin:/opt-here/bin"
    assert got["PYTHONPATH"] == "/home/ana/orders/lib:/home/ana/core:/opt-here/python"


@pytest.mark.parametrize("option", ["--require /opt/wrap.js", "-r /opt/x.js", "--import=/opt/x"])
def test_an_option_that_loads_a_layers_file_never_reaches_a_worker(option: str) -> None:
    remote = LAMBDA | {"NODE_OPTIONS": f"--enable-source-maps {option}"}
    got = environment(remote)
    assert got["NODE_OPTIONS"] == "--enable-source-maps"
    assert "NODE_OPTIONS" in left_out(remote, FUNCTION, LAPTOP).names
