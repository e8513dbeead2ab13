"""A developer's policy of docs/PERMISSIONS.md is enough for the debug stack alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.deployers import debug_stack
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.drivers.signed_requests import relay_headers
from terralive_testing.drivers.websocket_clients import upgrade_status

PAGE = Path(__file__).parents[3] / "docs" / "PERMISSIONS.md"


def documented_policy() -> str:
    found = re.search(r"```json developer\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.timeout(180)
def test_the_documented_policy_deploys_connects_and_destroys(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    iam = Aws(sandbox).iam
    user = unique("dev")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="terralive", PolicyDocument=documented_policy())
    key = iam.create_access_key(UserName=user)["AccessKey"]
    mine = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    access = {
        "AWS_ACCESS_KEY_ID": mine.access_key_id,
        "AWS_SECRET_ACCESS_KEY": mine.secret_access_key,
    }

    terraform = debug_stack.deploy(sandbox, tmp_path, unique("rights"), access)

    outputs = debug_stack.outputs(terraform)
    assert not terraform.plan(tmp_path / "plans" / "b.tfplan").has_changes
    keys = {"AccessKeyId": mine.access_key_id, "SecretAccessKey": mine.secret_access_key}
    own = Aws(sandbox, keys)
    secret = debug_stack.secret(own, outputs)
    url = outputs["relay_url"]
    headers = relay_headers(url, sandbox.region, mine, own.caller_arn, secret)
    assert upgrade_status(url, headers) == 101
    terraform.apply(terraform.plan(tmp_path / "plans" / "c.tfplan", destroy=True).file)
    assert terraform.state.is_empty()
