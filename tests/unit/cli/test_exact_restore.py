"""Whether a plan of Terraform brings back exactly what a stub has replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from terralive_cli.app.stub_settings import code_hashes
from terralive_cli.restoring.by_api import FunctionVersion, Settings
from terralive_cli.restoring.exact import Original, differences
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.output.shown_plan import PlannedResource
from terralive_terraform.output.state import DeployedFunction

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:api"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:tools:3"
SUM = "the sum of the zip file"
OWN = Settings("app.handler", "nodejs22.x", (LAYER,), "Takes orders", 3)
STUB = Settings("terralive_stub.live.handler", "python3.13", (), "Live by terralive", 900)
ORIGINAL = Original(
    Replaced(ARN, "4", SUM, made=True),
    FunctionVersion(ARN, "4", SUM, OWN),
    "Takes orders",
    frozenset({900}),
)
BEFORE: dict[str, Json] = {
    "description": "Live by terralive",
    "filename": None,
    "handler": STUB.handler,
    "layers": [],
    "memory_size": 128,
    "publish": False,
    "runtime": STUB.runtime,
    "s3_bucket": "terralive-stub",
    "s3_key": "stub/1.zip",
    "snap_start": [],
    "source_code_hash": "stub",
    "timeout": 900,
}
AFTER: dict[str, Json] = {
    **BEFORE,
    "description": "Takes orders",
    "filename": "api.zip",
    "handler": "app.handler",
    "layers": [LAYER],
    "publish": True,
    "runtime": "nodejs22.x",
    "s3_bucket": None,
    "s3_key": None,
    "source_code_hash": SUM,
    "timeout": 3,
}
COMPUTED = frozenset({"last_modified", "version", "qualified_arn"})


def _planned(
    after: Mapping[str, Json] | None = None,
    action: str = "update",
    unknown: frozenset[str] = COMPUTED,
) -> PlannedResource:
    values = {**AFTER, **(after or {})}
    return PlannedResource(
        "aws_lambda_function.api", "aws_lambda_function", action, BEFORE, values, unknown
    )


def test_terraform_restores_what_it_brings_back_exactly() -> None:
    assert differences(_planned(), ORIGINAL, SUM) == ()


def test_code_that_was_edited_since_is_not_deployed() -> None:
    assert differences(_planned(), ORIGINAL, "another sum") == ("code",)


def test_code_that_is_not_known_counts_as_another_one() -> None:
    assert differences(_planned(), ORIGINAL, "") == ("code",)
    unknown = COMPUTED | {"source_code_hash"}
    assert differences(_planned(unknown=unknown), ORIGINAL, SUM) == ("code",)


def test_a_plan_that_takes_the_code_for_deployed_does_not_bring_it() -> None:
    """An update was interrupted between its two halves, and the state has the hash already."""
    code: dict[str, Json] = {
        name: AFTER[name] for name in ("filename", "s3_bucket", "s3_key", "source_code_hash")
    }
    half_way = replace(_planned(), before={**BEFORE, **code})
    assert differences(half_way, ORIGINAL, SUM) == ("code",)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("handler", "other.handler"),
        ("runtime", "nodejs24.x"),
        ("layers", []),
        ("layers", None),
        ("description", "Takes other orders"),
        ("timeout", 30),
        ("snap_start", [{"apply_on": "PublishedVersions", "optimization_status": "Off"}]),
        ("image_config", [{"command": ["app.run"], "entry_point": [], "working_directory": ""}]),
        # A stub does not change these. Their change is a pending one.
        ("memory_size", 512),
        ("environment", [{"variables": {"TABLE": "orders"}}]),
        ("role", "arn:aws:iam::123456789012:role/new"),
    ],
)
def test_a_setting_that_was_edited_since_is_not_deployed(attribute: str, value: Json) -> None:
    assert differences(_planned({attribute: value}), ORIGINAL, SUM) == (attribute,)


def test_a_setting_that_only_an_apply_tells_counts_as_another_one() -> None:
    unknown = COMPUTED | {"environment", "layers"}
    assert differences(_planned(unknown=unknown), ORIGINAL, SUM) == ("environment", "layers")


def test_a_function_that_terraform_would_replace_goes_back_without_it() -> None:
    assert differences(_planned(action="replace"), ORIGINAL, SUM) == ("replace",)


def test_a_timeout_that_was_agreed_to_while_the_function_was_live_stays() -> None:
    before = {**BEFORE, "timeout": 20}
    planned = replace(_planned({"timeout": 20}), before=before)
    assert differences(planned, ORIGINAL, SUM) == ()


def test_a_description_that_the_version_does_not_tell_is_the_configurations() -> None:
    planned = _planned({"description": "Takes other orders"})
    assert differences(planned, replace(ORIGINAL, description=None), SUM) == ()


def test_an_image_is_compared_by_its_name() -> None:
    version = replace(
        ORIGINAL.version,
        is_image=True,
        image="acme/api:7",
        settings=Settings("", "", (), "", 3, image_config={"Command": ["app.run"]}),
    )
    original = replace(ORIGINAL, version=version, description="")
    image: dict[str, Json] = {
        "description": "",
        "handler": "",
        "image_config": [{"command": ["app.run"], "entry_point": None, "working_directory": ""}],
        "image_uri": "acme/api:7",
        "layers": None,
        "runtime": "",
    }
    assert differences(_planned(image), original, "") == ()
    assert differences(_planned(image | {"image_uri": "acme/api:8"}), original, "") == ("code",)


def test_only_a_timeout_that_debugging_gave_is_taken_back() -> None:
    assert ORIGINAL.settings(STUB) == OWN
    assert ORIGINAL.settings(replace(STUB, timeout=20)) == replace(OWN, timeout=0)


def test_of_a_function_whose_code_terraform_ignores_only_the_runtime_goes_back() -> None:
    now = replace(STUB, handler="new.handler", description="Edited by a pipeline", timeout=900)
    original = replace(ORIGINAL, is_ignored=True)
    assert original.settings(now) == replace(now, runtime="nodejs22.x")


def _in_state(handler: str, code_hash: str) -> DeployedFunction:
    return DeployedFunction("api", ARN, handler=handler, code_hash=code_hash)


def test_a_start_after_a_restore_by_api_changes_a_hash_that_the_state_has_already() -> None:
    own, stub = "app.handler", STUB_HANDLER
    address = "aws_lambda_function.api"

    def hashes(*functions: DeployedFunction) -> dict[str, str]:
        return code_hashes({f"{address}[{at}]": item for at, item in enumerate(functions)}, "sum")

    assert hashes() == {}
    assert hashes(_in_state(own, "another"), _in_state(stub, "sum")) == {}
    # The state names the stub's code, and the function has its own.
    assert hashes(_in_state(own, "sum")) == {address: "sum#1"}
    assert hashes(_in_state(own, "sum#1")) == {}
    # The next plans change nothing.
    assert hashes(_in_state(stub, "sum#1")) == {address: "sum#1"}
    # Instances share one value.
    assert hashes(_in_state(stub, "sum"), _in_state(own, "sum")) == {address: "sum#1"}
    assert hashes(_in_state(own, "sum#1"), _in_state(own, "sum")) == {address: "sum#2"}
