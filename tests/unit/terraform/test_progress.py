import json

import pytest

from terralive_stub.errors import CredentialsError, TerraformError
from terralive_terraform.output.failures import failure, needs_init
from terralive_terraform.output.progress import (
    Change,
    ChangedOutputs,
    Diagnostic,
    ResourceProgress,
    ResourceState,
    Summary,
    has_read_configuration,
    parse_line,
)


def line(kind: str, **fields: object) -> str:
    return json.dumps({"@level": "info", "@message": "…", "type": kind, **fields})


def test_a_planned_change_names_address_action_and_type() -> None:
    resource = {
        "addr": "module.a.aws_lambda_function.api[0]",
        "resource_type": "aws_lambda_function",
    }
    event = parse_line(line("planned_change", change={"resource": resource, "action": "update"}))
    assert event == Change("module.a.aws_lambda_function.api[0]", "update", "aws_lambda_function")
    change = {"resource": resource, "action": "replace", "reason": "cannot_update"}
    assert parse_line(line("planned_change", change=change)) == Change(
        "module.a.aws_lambda_function.api[0]", "replace", "aws_lambda_function", "cannot_update"
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("apply_start", ResourceProgress("aws_iam_role.x", "create", ResourceState.STARTED)),
        ("apply_complete", ResourceProgress("aws_iam_role.x", "create", ResourceState.DONE, 3)),
        ("apply_errored", ResourceProgress("aws_iam_role.x", "create", ResourceState.FAILED, 3)),
    ],
)
def test_the_steps_of_an_apply_are_told_as_they_happen(kind: str, expected: object) -> None:
    hook = {"resource": {"addr": "aws_iam_role.x"}, "action": "create", "elapsed_seconds": 3}
    assert parse_line(line(kind, hook=hook)) == expected


def test_a_diagnostic_says_where_it_comes_from() -> None:
    place = {"filename": "main.tf", "start": {"line": 7, "column": 1}}
    document = {
        "severity": "error",
        "summary": "Bad",
        "detail": "Worse\n",
        "address": "a.b",
        "range": place,
    }
    assert parse_line(line("diagnostic", diagnostic=document)) == Diagnostic(
        "error", "Bad", "Worse", "a.b", "main.tf:7"
    )


def test_a_summary_counts() -> None:
    changes = {"add": 1, "change": 2, "remove": 3, "operation": "plan"}
    assert parse_line(line("change_summary", changes=changes)) == Summary("plan", 1, 2, 3)
    imports = parse_line(line("change_summary", changes={**changes, "import": 4}))
    assert imports == Summary("plan", 1, 2, 3, imported=4)


@pytest.mark.parametrize(
    "text", ["", "Terraform says hello", "[1]", '"text"', '{"type": 3}', line("from_the_future")]
)
def test_what_terraform_adds_one_day_is_passed_over(text: str) -> None:
    assert parse_line(text) is None


def test_a_line_that_lacks_its_parts_does_not_break_the_run() -> None:
    assert parse_line(line("planned_change")) == Change("", "", "")
    assert parse_line(line("diagnostic", diagnostic=None)) == Diagnostic("", "")


def test_an_error_of_the_configuration_reads_like_terraforms_own() -> None:
    diagnostics = [
        Diagnostic("warning", "Old"),
        Diagnostic("error", "Bad", "Worse.", "aws_x.y", "main.tf:7"),
    ]
    error = failure("plan", diagnostics, "")
    assert isinstance(error, TerraformError)
    assert error.reference == "terraform-failed"
    assert error.message == "terraform plan failed.\nBad (with aws_x.y at main.tf:7)\nWorse."
    assert error.hint


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ("No valid credential sources found", "aws-credentials"),
        (
            "api error ExpiredToken: The security token included in the request is expired",
            "aws-credentials",
        ),
        ("AccessDenied: User x is not authorized to perform: iam:CreateRole", "aws-permission"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "aws-unreachable"),
    ],
)
def test_trouble_with_aws_is_told_apart(said: str, reference: str) -> None:
    error = failure("apply", [Diagnostic("error", "creating role", said)], "")
    assert isinstance(error, CredentialsError)
    assert error.reference == reference


def test_an_unreachable_registry_is_no_trouble_with_aws() -> None:
    said = (
        "Could not retrieve the list of available versions for provider hashicorp/aws: could not "
        "connect to registry.terraform.io: failed to request discovery document: dial tcp: lookup "
        "registry.terraform.io: no such host"
    )
    summary = "Failed to query available provider packages"
    error = failure("init", [Diagnostic("error", summary, said)], "")
    assert isinstance(error, TerraformError)
    assert error.reference == "registry-unreachable"
    assert "TERRALIVE_PROVIDER_MIRROR" in error.hint


def test_a_provider_that_a_mirror_lacks_is_no_trouble_with_the_network() -> None:
    said = (
        "Could not retrieve the list of available versions for provider\nhashicorp/archive: "
        "provider registry.terraform.io/hashicorp/archive was not\nfound in any of the "
        "search locations\n\n"
        "  - /opt/plugins"
    )
    summary = "Failed to query available provider packages"
    error = failure("init", [Diagnostic("error", summary, said)], "")
    assert error.hint.startswith("The folder that Terraform gets its providers from does not have")


NOT_INSTALLED = "Error: Failed to install provider\n\nError while installing hashicorp/aws v5.1.0: "
NOT_DOWNLOADED = "Error: Failed to download module\n\nfatal: "


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        (
            f"{NOT_INSTALLED}net/http: request canceled (Client.Timeout\nexceeded while awaiting)",
            "registry-unreachable",
        ),
        (f"{NOT_INSTALLED}404 Not Found", "terraform-failed"),
        (f"{NOT_DOWNLOADED}repository 'https://x/m.git/' not found", "terraform-failed"),
        (f"{NOT_DOWNLOADED}'https://x': Could\nnot resolve host: x", "registry-unreachable"),
    ],
)
def test_what_an_init_cannot_download_is_terraforms_failure(said: str, reference: str) -> None:
    """The lines of an init are broken anywhere."""
    error = failure("init", (), said)
    assert isinstance(error, TerraformError)
    assert error.reference == reference


def test_a_backend_that_an_init_cannot_reach_is_awss() -> None:
    said = (
        "Error: validating provider credentials: retrieving caller identity from STS: operation "
        "error STS: GetCallerIdentity, request send failed, dial\ntcp 127.0.0.1:9"
    )
    error = failure("init", (), said)
    assert isinstance(error, CredentialsError)
    assert error.reference == "aws-unreachable"


@pytest.mark.parametrize(
    "said",
    [
        'Call to function "filebase64sha256" failed: open code.zip: no such file or directory.',
        "error creating archive: could not archive missing directory: ./dist",
    ],
)
def test_a_file_that_is_not_built_is_named_as_such(said: str) -> None:
    error = failure("plan", [Diagnostic("error", "Error in function call", said)], "")
    assert isinstance(error, TerraformError)
    assert (error.reference, "Build it" in error.hint) == ("build-missing", True)


def test_a_live_function_that_nobody_serves_while_terraform_invokes_it_says_what_to_do() -> None:
    said = (
        "Lambda function (plain-greet) returned error: "
        '({"errorMessage": "No relay is connected to app", "errorType": "Terralive.NoRelay"})'
    )
    error = failure("plan", [Diagnostic("error", "invoking Lambda Function", said)], "")
    assert (error.reference, error.exit_code) == ("function-not-served", 3)
    assert "terralive start" in error.hint
    assert "terralive restore" in error.hint


def test_a_variable_without_a_value_says_where_its_file_is_named() -> None:
    error = failure("plan", [Diagnostic("error", "No value for required variable")], "")
    assert error.reference == "terraform-failed"
    assert "[terraform] var_files" in error.hint


def test_a_held_state_lock_says_so() -> None:
    assert (
        failure("plan", [Diagnostic("error", "Error acquiring the state lock")], "").reference
        == "terraform-locked"
    )


def test_without_a_diagnostic_the_output_is_shown() -> None:
    assert (
        "flag provided but not defined"
        in failure("plan", (), "flag provided but not defined").message
    )


def test_a_plan_that_lacks_plugins_asks_for_an_init() -> None:
    assert needs_init([Diagnostic("error", "Inconsistent dependency lock file", "…")])
    assert needs_init([Diagnostic("error", "Module not installed", "…")])
    assert not needs_init([Diagnostic("error", "Unsupported argument", "…")])


@pytest.mark.parametrize(
    "kind", ["version", "log", "diagnostic", "state_lock_acquire", "state_lock_release", "new", ""]
)
def test_an_early_event_does_not_say_that_the_configuration_is_read(kind: str) -> None:
    """Terraform waits for the lock of the state before it reads a configuration."""
    assert not has_read_configuration(line(kind))
    assert not has_read_configuration("Terraform used the selected providers")


@pytest.mark.parametrize("kind", ["refresh_start", "planned_change", "apply_start", "outputs"])
def test_an_event_about_a_resource_or_output_does(kind: str) -> None:
    assert has_read_configuration(line(kind))


def test_changed_outputs_are_named_and_values_after_an_apply_are_no_change() -> None:
    planned = {"a": {"action": "create"}, "b": {"action": "noop"}, "c": {"action": "delete"}}
    assert parse_line(line("outputs", outputs=planned)) == ChangedOutputs(("a", "c"))
    applied = {"a": {"sensitive": False, "type": "string", "value": "x"}}
    assert parse_line(line("outputs", outputs=applied)) is None
    assert parse_line(line("outputs", outputs={})) is None
