"""What the sandbox leaves out of moto so that it takes less memory."""

from __future__ import annotations

import json
import subprocess
import sys

from terralive_sandbox.control.moto_gaps.iam import members

# Runs in a process of its own: modules that were imported once stay.
_IMPORTS = """
import sys
from terralive_sandbox.control.light_imports import keep_out
keep_out()
import moto.apigateway.models
print("pydantic" in sys.modules)
"""


def test_the_check_of_openapi_documents_that_moto_has_is_not_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_policies_are_read_one_after_the_other() -> None:
    policies = {
        "A": {"Document": {"Statement": [{"Action": ["a:B", '"}{']}]}, "Path": "/"},
        "B": {},
    }
    for indent in (None, 1):
        assert dict(members(f"\n{json.dumps(policies, indent=indent)}\n")) == policies
    assert list(members("{}")) == []
