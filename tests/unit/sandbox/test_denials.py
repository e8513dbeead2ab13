"""Denied requests get the error of the service in the protocol of the request.

The module under test names AWS's pages.
"""

from __future__ import annotations

import json

from terralive_sandbox.access.denials import access_denied, service_error, signature_denied
from terralive_sandbox.access.sigv4 import Request, SignatureError

FORM = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
JSON_RPC = ("x-amz-target", "DynamoDB_20120810.GetItem")
CBOR = ("smithy-protocol", "rpc-v2-cbor")
UNKNOWN_KEY = SignatureError("InvalidClientTokenId", "The security token is invalid.")


def request(*headers: tuple[str, str]) -> Request:
    return Request("POST", "/", "", headers)


def test_json_services_answer_400_with_the_name_of_the_error_in_body_and_header() -> None:
    status, headers, body = access_denied(request(JSON_RPC), "dynamodb", "no")
    assert status == 400
    assert ("x-amzn-errortype", "AccessDeniedException") in headers
    assert json.loads(body)["__type"] == "AccessDeniedException"
    assert json.loads(body)["message"] == "no"


def test_sqs_adds_the_name_that_its_callers_knew_before_it_used_json() -> None:
    queries = ("x-amzn-query-mode", "true")
    _, headers, body = access_denied(request(JSON_RPC, queries), "sqs", "no")
    assert ("x-amzn-query-error", "AccessDenied;Sender") in headers
    assert json.loads(body)["__type"] == "AccessDenied"
    _, _, body = signature_denied(request(JSON_RPC, queries), "sqs", UNKNOWN_KEY)
    assert json.loads(body)["__type"] == "InvalidClientTokenId"


def test_services_with_paths_answer_403_in_json() -> None:
    status, headers, body = signature_denied(request(), "lambda", UNKNOWN_KEY)
    assert status == 403
    assert ("x-amzn-errortype", "UnrecognizedClientException") in headers
    assert json.loads(body)["message"] == "The security token is invalid."


def test_query_services_answer_in_escaped_xml() -> None:
    status, headers, body = access_denied(request(FORM), "sns", "a & <b>")
    assert (status, headers) == (403, [("content-type", "text/xml")])
    assert body == (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code>"
        b"<Message>a &amp; &lt;b></Message></Error></ErrorResponse>"
    )


def test_s3_has_an_error_of_its_own_for_unknown_keys() -> None:
    status, _, body = signature_denied(request(), "s3", UNKNOWN_KEY)
    assert status == 403
    assert body == (
        b"<Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does "
        b"not exist in our records.</Message></Error>"
    )


def test_an_error_in_cbor_is_a_map_of_two_texts() -> None:
    status, headers, body = service_error(request(CBOR), "monitoring", "Code", "text", 501)
    assert status == 501
    assert ("content-type", "application/cbor") in headers
    assert body == b"\xa2\x79\x00\x06__type\x79\x00\x04Code\x79\x00\x07message\x79\x00\x04text"
