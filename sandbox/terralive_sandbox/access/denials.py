"""Responses for requests that are denied, in the words and the HTTP shape of each service. No I/O.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html (JSON)
https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html (JSON by paths)
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html (query)
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

from terralive_sandbox.access import protocols
from terralive_sandbox.access.sigv4 import Request, SignatureError
from terralive_sandbox.responses import Response, error_response

# Services that answer in XML.
_XML_SERVICES: Final = frozenset(
    {
        "iam",
        "sts",
        "sns",
        "ec2",
        "rds",
        "cloudformation",
        "cloudfront",
        "autoscaling",
        "elasticloadbalancing",
        "route53",
    }
)
# The error of a request that is not allowed, where it is not AccessDeniedException.
_ACCESS_DENIED_NAMES: Final = {
    "sns": "AuthorizationError",
    "sqs": "AccessDenied",
    "s3": "AccessDenied",
    "iam": "AccessDenied",
    "sts": "AccessDenied",
}
# Errors of signatures -> their names in JSON APIs.
JSON_SIGNATURE_ERRORS: Final = {
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


def signature_denied(request: Request, service: str, error: SignatureError) -> Response:
    """Return the response to a request without a valid signature."""
    code, message = error.code, error.message
    if service == "s3" and code == "InvalidClientTokenId":
        code = "InvalidAccessKeyId"
        message = "The AWS Access Key Id you provided does not exist in our records."
    elif not _uses_query_names(request, service):
        code = JSON_SIGNATURE_ERRORS.get(code, code)
    return service_error(request, service, code, message, _denied_status(request))


def access_denied(request: Request, service: str, message: str) -> Response:
    """Return the response to a request that the policies do not allow."""
    code = _ACCESS_DENIED_NAMES.get(service, "AccessDeniedException")
    return service_error(request, service, code, message, _denied_status(request))


def _denied_status(request: Request) -> int:
    if protocols.is_json_rpc(request):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.FORBIDDEN


def _uses_query_names(request: Request, service: str) -> bool:
    """Return whether errors have the names that they have in the query protocol and in S3."""
    # The header: SQS, for callers that knew it before it spoke JSON.
    return _answers_in_xml(request, service) or bool(request.header("x-amzn-query-mode"))


def _answers_in_xml(request: Request, service: str) -> bool:
    return service == "s3" or service in _XML_SERVICES or protocols.is_form(request)


def service_error(request: Request, service: str, code: str, message: str, status: int) -> Response:
    """Return an error in the protocol in which the request speaks to the service."""
    if protocols.is_json_rpc(request):
        return _json_rpc_error(request, code, message, status)
    if protocols.is_cbor(request):
        return _cbor_error(code, message, status)
    if _answers_in_xml(request, service):
        return _xml_error(service, code, message, status)
    return error_response(status, code, message)


def _json_rpc_error(request: Request, code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    headers = [("content-type", "application/x-amz-json-1.1"), ("x-amzn-errortype", code)]
    if request.header("x-amzn-query-mode"):
        # The error's name in the query protocol, which callers of SQS compare.
        headers.append(("x-amzn-query-error", f"{code};Sender"))
    return status, headers, body


def _cbor_error(code: str, message: str, status: int) -> Response:
    headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
    map_of_two = b"\xa2"
    texts = [_cbor_text(text) for text in ("__type", code, "message", message)]
    return status, headers, map_of_two + b"".join(texts)


def _cbor_text(text: str) -> bytes:
    """Encode a text of up to 64 KB.

    https://www.rfc-editor.org/rfc/rfc8949.html#section-3.1
    """
    encoded = text.encode()[:0xFFFF]
    return b"\x79" + len(encoded).to_bytes(2, "big") + encoded


def _xml_error(service: str, code: str, message: str, status: int) -> Response:
    escaped = message.replace("&", "&amp;").replace("<", "&lt;")
    error = f"<Code>{code}</Code><Message>{escaped}</Message>"
    xml = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"
    if service == "s3":
        xml = f"<Error>{error}</Error>"
    return status, [("content-type", "text/xml")], xml.encode()
