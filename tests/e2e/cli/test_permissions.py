"""The policies of docs/PERMISSIONS.md, as people and jobs use them.

With a policy everything works. Without any one of its statements, AWS refuses something, and
terralive names what is missing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from terralive_sandbox.info import attach, environment
from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.deployers.identities import (
    Accesses,
    Identity,
    Statement,
    actions,
    documented,
)
from terralive_testing.deployers.sandbox import unique
from terralive_testing.deployers.terraform_account import plan, terraform_in
from terralive_testing.drivers import plain_app
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.project import Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

POLICIES = ("developer", "joiner", "cleanup")
# What Terraform needs for the app itself, whoever runs it.
APP: Sequence[Statement] = (
    {"Effect": "Allow", "Action": "lambda:*", "Resource": "arn:aws:lambda:*:*:function:plain-*"},
    {"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::*:role/plain-*"},
)
SIDS = [item["Sid"] for item in documented("developer")]
STATEMENTS = [(policy, item["Sid"]) for policy in POLICIES for item in documented(policy)]
# These change or remove what only another configuration, or another version, has made.
ONLY_FOR_CHANGES = {
    "apigateway:PATCH",
    "apigateway:PUT",
    "apigateway:TagResource",
    "apigateway:UntagResource",
    "dynamodb:TagResource",
    "dynamodb:UntagResource",
    "dynamodb:UpdateTable",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "lambda:DeleteFunctionConcurrency",
    "lambda:ListTags",
    "lambda:PutFunctionConcurrency",
    "lambda:TagResource",
    "lambda:UntagResource",
    "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration",
    "logs:TagResource",
    "logs:UntagResource",
}


# What terralive asks for, and does without where it is refused.
OPTIONAL = {"ecr:DescribeRepositories", "iam:ListAccountAliases", "lambda:GetAccountSettings"}
OPTIONAL_FOR = {
    "developer": OPTIONAL,
    "joiner": {*OPTIONAL, "apigateway:GET", "s3:ListBucket"},
    "cleanup": OPTIONAL,
}

STATE_IN_S3 = """
terraform {
  backend "s3" {
    bucket         = "acme-terraform-states"
    key            = "terralive/orders/dev.tfstate"
    use_lockfile   = true
    use_path_style = true # the sandbox has no name for each bucket
  }
}
resource "terraform_data" "api" {}
"""


@dataclass
class Account:
    """A sandbox, and who has done what in it."""

    administrator: Project
    log: Path
    identities: dict[str, Identity] = field(default_factory=dict)

    def project_of(self, root: Path, policy: str, statements: Sequence[Statement]) -> Project:
        """Return a project's folder, in which terralive has these permissions."""
        identity = Identity.create(self.administrator, [*statements, *APP])
        self.identities.setdefault(policy, identity)
        identity.enter(self.administrator, root)
        return Project(root, self.administrator.sandbox)

    def accesses(self, policy: str) -> Accesses:
        return Accesses.read(self.log, self.identities[policy])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    administrator = Project(tmp_path_factory.mktemp("administrator"))
    log = administrator.root / "access.log"
    settings = {"TERRALIVE_LOG": "debug", "TERRALIVE_LOG_FILE": str(log)}
    with Command(["sandbox"], administrator.root, settings) as sandbox:
        administrator.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        yield Account(administrator, log)


@pytest.fixture(scope="module")
def everyday_life(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """A developer creates a debug stack, another one joins, and a job removes it."""
    root = tmp_path_factory.mktemp("people") / "plain"
    plain_app.plain_project(root)
    for policy in ("developer", "joiner"):
        project = account.project_of(root, policy, documented(policy))
        with plain_app.start(project) as command:
            command.wait_for_type("ready", timeout_s=180)
            assert _answer(account.administrator) == "deployed", command.story()
            if policy == "developer":
                require_connected(root)
        if policy == "joiner":
            # Nobody is connected, and the code was deployed before. What the relay may have
            # received a moment before it left does not fall back.
            eventually(lambda: _answer(account.administrator) == "deployed", "the fallback")
        if policy == "developer":
            # The next one puts the stub there again.
            restored = run(["restore", "--sandbox", "--yes"], root)
            assert restored.process.returncode == 0, restored.story()
            forget_the_debug_stack(root)
    account.project_of(root, "cleanup", documented("cleanup"))
    found = run(["gc", "--sandbox", "--older-than", "0m", "--dry-run"], root)
    assert found.process.returncode == 0, found.story()
    (plan,) = found.of_type("cleanup")
    (stack,) = plan["stacks"]
    assert (stack["action"], stack["restores"]) == ("remove", ["plain-greet"]), found.story()
    cleaned = run(["destroy", "--sandbox", "--yes"], root)
    assert cleaned.process.returncode == 0, cleaned.story()
    left = plain_app.left(account.administrator)
    assert not [name for names in left.values() for name in names if "terralive" in name]
    assert "versions" not in left
    return account


def _answer(administrator: Project) -> object:
    """Return what the function answers."""
    answer = administrator.client("lambda").invoke(FunctionName="plain-greet")
    return json.loads(answer["Payload"].read())


def require_connected(root: Path) -> None:
    """Require that `list` shows the debug stack, and who is connected."""
    command = run(["list", "--sandbox"], root)
    (event,) = command.of_type("stacks")
    (stack,) = event["stacks"]
    known = (stack["app"], stack["connection"], stack["live"])
    assert known == ("plain", "connected", ["plain-greet"]), command.story()


def forget_the_debug_stack(root: Path) -> None:
    """Leave the app's state alone, as another checkout has it."""
    for name in ("debug-stack", "stub", "plans"):
        for folder in root.glob(f".terralive/sandbox/*/*/{name}"):
            shutil.rmtree(folder)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_enough(everyday_life: Account, policy: str) -> None:
    accesses = everyday_life.accesses(policy)
    assert accesses.requests
    assert accesses.refused_by([*documented(policy), *APP]) <= OPTIONAL_FOR[policy]


@pytest.mark.parametrize(("policy", "sid"), STATEMENTS)
def test_without_a_statement_aws_refuses_something(
    everyday_life: Account, policy: str, sid: str
) -> None:
    left = [item for item in documented(policy) if item["Sid"] != sid]
    missing = next(item for item in documented(policy) if item["Sid"] == sid)
    refused = everyday_life.accesses(policy).refused_by([*left, *APP]) - OPTIONAL_FOR[policy]
    assert refused
    assert refused <= set(actions(missing)), "another statement's permission is missing as well"


def test_a_developer_may_clean_up_as_the_job_does(everyday_life: Account) -> None:
    refused = everyday_life.accesses("cleanup").refused_by([*documented("developer"), *APP])
    assert refused <= OPTIONAL


@pytest.mark.parametrize("policy", POLICIES)
def test_every_permission_is_used(everyday_life: Account, policy: str) -> None:
    used = {action for action, _ in everyday_life.accesses(policy).requests}
    if policy == "developer":
        # Here the job has destroyed what the developer could destroy as well.
        used |= {action for action, _ in everyday_life.accesses("cleanup").requests}
    granted = {action for item in documented(policy) for action in actions(item)}
    assert granted - used - ONLY_FOR_CHANGES == set()


@pytest.fixture(scope="module")
def state_in_s3(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Accesses:
    """Terraform deploys and destroys with its state in a bucket, locked by a file there."""
    root = tmp_path_factory.mktemp("state")
    (root / "main.tf").write_text(STATE_IN_S3, "utf-8")
    account.administrator.client("s3").create_bucket(Bucket="acme-terraform-states")
    account.project_of(root, "state-bucket", documented("state-bucket"))
    own = attach(root / ".terralive" / "sandbox.json")
    assert own is not None
    users = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {**terraform_environment(users, root / "work"), **environment(own)}
    terraform, _ = terraform_in(root, variables, None)
    for destroy in (False, True):
        terraform.apply(plan(terraform, root, destroy=destroy).file)
        assert terraform.state.is_empty() is destroy
    return account.accesses("state-bucket")


@pytest.mark.parametrize("sid", [item["Sid"] for item in documented("state-bucket")])
def test_without_a_statement_terraform_cannot_keep_its_state(
    state_in_s3: Accesses, sid: str
) -> None:
    policy = documented("state-bucket")
    missing = next(item for item in policy if item["Sid"] == sid)
    refused = state_in_s3.refused_by([item for item in policy if item["Sid"] != sid])
    assert refused == set(actions(missing))
    assert state_in_s3.refused_by(policy) == set()


@pytest.mark.parametrize("sid", [sid for sid in SIDS if sid != "FindDebugStacks"])
def test_start_names_the_permission_that_is_missing(
    account: Account, tmp_path: Path, sid: str
) -> None:
    root = tmp_path / "plain"
    plain_app.plain_project(root)
    left = [item for item in documented("developer") if item["Sid"] != sid]
    missing = next(item for item in documented("developer") if item["Sid"] == sid)
    account.project_of(root, f"without {sid}", left)
    # Names of its own, because a refused start may leave something behind.
    name = unique("lacks")
    terraform = root / "main.tf"
    terraform.write_text(terraform.read_text("utf-8").replace("plain-greet", f"plain-{name}"))
    ended = run(["start", "--sandbox", "--yes"], root, {"TERRALIVE_APP": name})
    assert ended.process.returncode == 4, ended.story()
    error = ended.of_type("error")[-1]
    said = f"{error['message']} {error['hint']}"
    assert any(action in said for action in actions(missing)), error
