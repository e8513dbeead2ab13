"""The debug stack's template, and a team's own subclass of `DebugStack`, by the real cdktf."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.debug_stack.configuration import TEMPLATE, write_configuration
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.debug_stack.synth import CustomStack, synthesised, template
from terralive_terraform.runs import node

SETTINGS = DebugStackSettings("orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0")

NO_NODE = {"PATH": "/nonexistent"}


def test_the_template_is_what_the_cdktf_code_says() -> None:
    assert TEMPLATE.read_bytes() == template(), "run `make template`, and commit the template"


def test_the_template_is_the_same_for_every_stage(tmp_path: Path) -> None:
    own = CustomStack("terralive_terraform.debug_stack:DebugStack", tmp_path)
    demanding = replace(
        SETTINGS,
        permissions_boundary="arn:aws:iam::123456789012:policy/boundary",
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        tags={"team": "orders"},
        broker_concurrency=20,
    )
    assert synthesised(own, demanding, tmp_path, os.environ) == TEMPLATE.read_bytes()


TEAM = """
from acme.topics import topic
from terralive_terraform.debug_stack import DebugStack

print("a team's module may print")


class AcmeStack(DebugStack):
    def __init__(self, scope, settings):
        super().__init__(scope, settings)
        topic(self, settings.name("alarms"))
"""
TOPICS = """
from cdktf import TerraformResource


def topic(scope, name):
    made = TerraformResource(scope, "alarms", terraform_resource_type="aws_sns_topic")
    made.add_override("name", name)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "project" / "acme"
    package.mkdir(parents=True)
    (package / "stack.py").write_text(TEAM, "utf-8")
    (package / "topics.py").write_text(TOPICS, "utf-8")
    return package.parent


def resources_of(content: bytes) -> dict[str, Any]:
    resources: dict[str, Any] = json.loads(content)["resource"]
    return resources


def test_a_teams_own_subclass_adds_its_resources_to_the_template(
    project: Path, tmp_path: Path
) -> None:
    own = CustomStack("acme.stack:AcmeStack", project)
    folder = write_configuration(SETTINGS, tmp_path / "debug", own)

    resources = resources_of((folder / "cdk.tf.json").read_bytes())
    assert resources.pop("aws_sns_topic") == {"alarms": {"name": "terralive-orders-dev-ana-alarms"}}
    assert resources == resources_of(TEMPLATE.read_bytes())


def test_it_is_synthesised_again_only_after_a_change(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = CustomStack("acme.stack:AcmeStack", project)
    first = synthesised(own, SETTINGS, tmp_path, os.environ)
    # Without Node.js, the answer can only be the one that was kept.
    monkeypatch.setattr(node, "from_pypi", lambda: None)
    later = replace(SETTINGS, owner="ben", created="2026-03-03")
    assert synthesised(own, later, tmp_path, NO_NODE) == first

    with pytest.raises(TerraliveError) as another_stage:
        synthesised(own, replace(later, stage="dev-ben"), tmp_path, NO_NODE)
    (project / "acme" / "topics.py").write_text(TOPICS + "\n# changed\n", "utf-8")
    with pytest.raises(TerraliveError) as another_code:
        synthesised(own, later, tmp_path, NO_NODE)
    assert another_stage.value.reference == another_code.value.reference == "node-missing"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("acme.nothing:AcmeStack", "No module named 'acme.nothing'"),
        ("acme.stack:Nothing", "has no attribute 'Nothing'"),
        ("acme.topics:topic", "is no subclass of terralive_terraform.debug_stack.DebugStack"),
    ],
)
def test_a_class_that_cannot_be_used_is_told_with_the_reason(
    project: Path, tmp_path: Path, path: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        synthesised(CustomStack(path, project), SETTINGS, tmp_path, os.environ)
    assert caught.value.reference == "debug-stack-class"
    assert str(project) in caught.value.hint


@pytest.mark.skipif(importlib.util.find_spec("cdktn") is None, reason="cdktn is not installed")
def test_a_subclass_for_cdktfs_fork_is_synthesised_by_the_fork(
    project: Path, tmp_path: Path
) -> None:
    topics = project / "acme" / "topics.py"
    topics.write_text(TOPICS.replace("from cdktf", "from cdktn"), "utf-8")
    folder = write_configuration(
        SETTINGS, tmp_path / "debug", CustomStack("acme.stack:AcmeStack", project)
    )
    resources = resources_of((folder / "cdk.tf.json").read_bytes())
    assert resources.pop("aws_sns_topic") == {"alarms": {"name": "terralive-orders-dev-ana-alarms"}}
    assert resources == resources_of(TEMPLATE.read_bytes())
