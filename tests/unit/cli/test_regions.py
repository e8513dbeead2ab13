"""Regions that differ are named before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.values import GivenRegion
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.output.progress import Phase
from terralive_cli.protection.regions import Regions
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.substitution.app import Prepared

FLAG = GivenRegion("us-east-1", "--region")
TOML = GivenRegion("eu-west-1", "`region` in terralive.toml")
SHELL = GivenRegion("us-east-1", "AWS_REGION")
PROFILE = GivenRegion("us-east-1", "AWS profile default")
ROOT = Path("/app")
PROVIDER = AwsProvider(ROOT / "infra" / "main.tf", region="eu-west-1")
NO_REGION = AwsProvider(ROOT / "main.tf")
COMPUTED = AwsProvider(ROOT / "main.tf", region=None)


def test_what_is_given_comes_before_the_provider_and_the_profile() -> None:
    assert Regions.of([FLAG, TOML], PROVIDER, ROOT).wanted(FLAG.region) == "us-east-1"
    assert Regions.of([], PROVIDER, ROOT).wanted(None) == "eu-west-1"
    assert Regions.of([], NO_REGION, ROOT).wanted(None) is None


def test_a_provider_in_another_region_is_named_with_its_file() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Regions.of([FLAG, TOML], PROVIDER, ROOT).require_same_on_aws("us-east-1", None)
    assert raised.value.reference == "region-differs"
    assert str(raised.value) == (
        "The regions of this stage differ:\n"
        "  us-east-1: --region\n"
        "  eu-west-1: `region` in terralive.toml\n"
        '  eu-west-1: `provider "aws"` in infra/main.tf'
    )


@pytest.mark.parametrize("provider", [None, NO_REGION], ids=["no provider", "no region"])
def test_a_shell_in_another_region_is_named_where_terraform_takes_its_region(
    provider: AwsProvider | None,
) -> None:
    with pytest.raises(ConfigurationError, match="us-east-1: AWS_REGION"):
        Regions.of([TOML, SHELL], provider, ROOT).require_same_on_aws("eu-west-1", None)
    with pytest.raises(ConfigurationError, match="us-east-1: AWS profile default"):
        Regions.of([TOML], provider, ROOT).require_same_on_aws("eu-west-1", PROFILE)


@pytest.mark.parametrize("provider", [PROVIDER, COMPUTED], ids=["literal", "computed"])
def test_the_shells_region_does_not_matter_where_the_provider_has_its_own(
    provider: AwsProvider,
) -> None:
    Regions.of([TOML, SHELL], provider, ROOT).require_same_on_aws("eu-west-1", PROFILE)


def test_regions_that_agree_are_no_error() -> None:
    Regions.of([TOML], PROVIDER, ROOT).require_same_on_aws("eu-west-1", None)
    Regions.of([SHELL], None, ROOT).require_same_on_aws("us-east-1", None)
    Regions.of([], None, ROOT).require_same_on_aws("us-east-1", PROFILE)


@pytest.mark.parametrize(
    ("given", "provider", "listed"),
    [
        ([FLAG], None, "us-east-1: --region"),
        ([SHELL], None, "us-east-1: AWS_REGION"),
        ([], AwsProvider(ROOT / "main.tf", region="us-east-1"), 'us-east-1: `provider "aws"`'),
    ],
    ids=["flag", "shell", "provider"],
)
def test_a_sandbox_in_another_region_is_named(
    given: list[GivenRegion], provider: AwsProvider | None, listed: str
) -> None:
    sandbox = GivenRegion("eu-west-1", "the running sandbox")
    with pytest.raises(ConfigurationError) as raised:
        Regions.of(given, provider, ROOT).require_same_in_sandbox(sandbox)
    assert raised.value.reference == "region-differs"
    assert "eu-west-1: the running sandbox" in str(raised.value)
    assert listed in str(raised.value)


def test_a_sandbox_in_the_same_region_is_no_error() -> None:
    sandbox = GivenRegion("eu-west-1", "the running sandbox")
    Regions.of([TOML, SHELL], PROVIDER, ROOT).require_same_in_sandbox(sandbox)
    Regions.of([], COMPUTED, ROOT).require_same_in_sandbox(sandbox)


def test_the_region_of_a_cdktf_program_is_compared_after_it_has_run(tmp_path: Path) -> None:
    (tmp_path / "cdktf.json").write_text('{"app": "python main.py"}')
    synthesised = tmp_path / "out"
    synthesised.mkdir()
    (synthesised / "cdk.tf.json").write_text('{"provider": {"aws": [{"region": "eu-west-1"}]}}')
    info = SandboxInfo(
        endpoint="http://127.0.0.1:9",
        region="us-east-1",
        pid=1,
        http_url="",
        websocket_url="",
        management_url="",
        access_key_id="",
        secret_access_key="",
        account_id="1",
        id="i",
    )
    caller = cast("Caller", None)  # nobody is asked
    target = Target("the sandbox", "us-east-1", {}, caller, tmp_path, sandbox=info)
    config = load(project=tmp_path, flags={}, environ={}, user="ana")
    stage = Stage(config, target, lambda *_: None, {})
    app = Prepared(synthesised, None, (), ())
    with pytest.raises(ConfigurationError, match="eu-west-1: `provider"):
        stage.app_terraform(app, Phase("app", stage.emit))
