"""The module that a live function's `handler` setting names: `terralive_stub.live.handler`.

A function whose callers take streamed responses has `terralive_stub.live.streaming_handler`:
nothing else tells the stub, and the function's environment variables stay as they are.

The managed runtime imports this module to find the handler. On Lambda the import does not return:
the stub takes the runtime's place (see `stub/takeover.py`). Where a runtime has no Runtime API, as
in some emulators, it calls `handler` (see `stub/called.py`). The name must not change, because
deployed functions refer to it.

Only ever imported inside a stub's zip, beside the `terralive_settings` that terralive rendered into
it.
"""

from __future__ import annotations

import os

import terralive_settings as settings
from terralive_stub.protocol.token import function_key
from terralive_stub.stub.takeover import function_in_init, make_stub, take_over


def _key(function_arn: str) -> bytes:
    # A function, because the repr of a `partial` shows the secret.
    return function_key(bytes.fromhex(settings.SECRET), function_arn)


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
_streams = os.environ.get("_HANDLER", "").endswith(".streaming_handler")
_stub = make_stub(settings.URL, settings.APP, settings.STAGE, _key, streams=_streams)
# Lambda sets this variable for its runtimes.
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    take_over(_stub, function_in_init(settings.ARN_PREFIX, os.environ))

from terralive_stub.stub.called import as_handler  # noqa: E402  # an import that Lambda does not need

handler = streaming_handler = as_handler(_stub)
