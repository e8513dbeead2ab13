"""The protocols of AWS's APIs, as far as a request shows which one it is. No I/O."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from terralive_sandbox.access.sigv4 import Request

# https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
_CBOR_PATH: Final = re.compile(r"/service/[^/]+/operation/([^/]+)")
_FORM: Final = "application/x-www-form-urlencoded"


def operation_of(request: Request) -> str | None:
    """Return the operation that a request names.

    It is None for protocols that carry the operation in method and path (REST).
    """
    target = request.header("x-amz-target")
    if target:
        return target.rpartition(".")[2]
    if is_cbor(request):
        found = _CBOR_PATH.search(request.path)
        if found:
            return found[1]
    return form_fields(request).get("Action")


def is_json_rpc(request: Request) -> bool:
    """Return whether a request speaks JSON and names its operation in a header."""
    return bool(request.header("x-amz-target"))


def is_cbor(request: Request) -> bool:
    """Return whether a request speaks Smithy's RPC protocol in CBOR."""
    return request.header("smithy-protocol") == "rpc-v2-cbor"


def is_form(request: Request) -> bool:
    """Return whether a request's body is a form."""
    return (request.header("content-type") or "").startswith(_FORM)


def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a request's form, or of its query if it has no form."""
    if is_form(request):
        fields = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if fields:
            return fields
    return dict(parse_qsl(request.query))
