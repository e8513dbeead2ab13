"""The module that a live function's `handler` setting names: `terralive_stub.live.handler`.

The managed runtime imports this module to find the handler. The import does not return: the stub
takes the runtime's place (see `stub/takeover.py`), so there is no `handler` here to be called. The
name must not change, because deployed functions refer to it.

Only ever imported inside a stub's zip, beside the `terralive_settings` that terralive rendered into
it.
"""

from __future__ import annotations

import os
from functools import partial

import terralive_settings as settings
from terralive_stub.protocol.token import function_key
from terralive_stub.stub.takeover import make_stub, take_over

# Lambda sets this variable for its runtimes. Without it (a test, a tool that imports every module)
# there is nothing to serve.
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    key = partial(function_key, bytes.fromhex(settings.SECRET))
    take_over(make_stub(settings.URL, settings.APP, settings.STAGE, key))
