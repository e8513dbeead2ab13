"""What a request to an AWS service asks for, and how that service words a refusal. Pure.

`asks_for` names the IAM actions and resources of a request as the service authorization reference
does (https://docs.aws.amazon.com/service-authorization/latest/reference/). For services that it
does not know, the action is the operation's name and the resource stays open. Action names compare
in any case; here they are spelled as the service itself spells them in a refusal
(`sqs:sendmessage`, `SNS:Publish`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import unescape

from terralive_sandbox.access.policy import AccessRequest
from terralive_sandbox.access.sigv4 import Request, SignatureError, Signed
from terralive_sandbox.answers import Answer, error_answer

_TRANSACT = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
# The actions of operations that have another name.
_S3_ACTIONS = {
    operation: action
    for action, operations in {
        "GetAccelerateConfiguration": ["GetBucketAccelerateConfiguration"],
        "GetBucketNotification": ["GetBucketNotificationConfiguration"],
        "GetBucketObjectLockConfiguration": ["GetObjectLockConfiguration"],
        "GetBucketPublicAccessBlock": ["GetPublicAccessBlock"],
        "GetEncryptionConfiguration": ["GetBucketEncryption"],
        "GetLifecycleConfiguration": ["GetBucketLifecycleConfiguration"],
        "GetObject": ["HeadObject"],
        "GetReplicationConfiguration": ["GetBucketReplication"],
        "ListAllMyBuckets": ["ListBuckets"],
        "ListBucket": ["HeadBucket", "ListObjects", "ListObjectsV2"],
        "ListBucketMultipartUploads": ["ListMultipartUploads"],
        "ListBucketVersions": ["ListObjectVersions"],
        "ListMultipartUploadParts": ["ListParts"],
        "PutAccelerateConfiguration": ["PutBucketAccelerateConfiguration"],
        "PutBucketCORS": ["DeleteBucketCors"],
        "PutBucketNotification": ["PutBucketNotificationConfiguration"],
        "PutBucketObjectLockConfiguration": ["PutObjectLockConfiguration"],
        "PutBucketOwnershipControls": ["DeleteBucketOwnershipControls"],
        "PutBucketPublicAccessBlock": ["PutPublicAccessBlock", "DeletePublicAccessBlock"],
        "PutBucketTagging": ["DeleteBucketTagging"],
        "PutEncryptionConfiguration": ["PutBucketEncryption", "DeleteBucketEncryption"],
        "PutLifecycleConfiguration": ["PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"],
        "PutObject": [
            "CompleteMultipartUpload",
            "CopyObject",
            "CreateMultipartUpload",
            "UploadPart",
            "UploadPartCopy",
        ],
        "PutReplicationConfiguration": ["PutBucketReplication", "DeleteBucketReplication"],
    }.items()
    for operation in operations
}
_XML_SERVICES = {
    "iam", "sts", "sns", "ec2", "rds", "cloudformation", "cloudfront", "autoscaling", "elasticloadbalancing", "route53",
}  # fmt: skip
_PREFIXES = {
    "sns": "SNS",
    "monitoring": "cloudwatch",
}  # of actions, where it is not the name that is signed for
# https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/([^/]+)")


def asks_for(
    request: Request, signed: Signed, account: str, rest_operation: str | None
) -> list[AccessRequest]:
    """Every access that the request needs; all have to be allowed.

    Args:
        request: the request as it came.
        signed: its signature's parts, already verified.
        account: the caller's account.
        rest_operation: the operation's name, for services whose protocol carries it in method and
            path.
    """
    service, region = signed.service, signed.region
    form = _form(request)
    body = _json(request.body) if request.header("x-amz-target") else {}
    operation = rest_operation or operation_of(request) or "Unknown"
    prefix = f"arn:aws:{service}:{region}:{account}:"
    match service:
        case "dynamodb":
            return _dynamodb(operation, body, prefix)
        case "apigateway":
            arn = f"arn:aws:apigateway:{region}::{_after_version(request.path)}"
            return [AccessRequest(f"apigateway:{request.method}", (arn,))]
        case "lambda":
            operation = {"Invoke": "InvokeFunction"}.get(operation, operation)
            asked = [AccessRequest(f"lambda:{operation}", _lambda_arns(request, prefix))]
            if operation in {"CreateFunction", "UpdateFunctionConfiguration"}:
                asked += _passes("lambda", [_json(request.body)], "Role")
            return asked
        case "s3" | "events":
            return _s3(request, operation) if service == "s3" else _events(operation, body, prefix)
        case "sts" if operation == "GetCallerIdentity":
            return []
        case _:
            return [
                AccessRequest(
                    _action(service, operation), _resources(service, body or form, prefix)
                )
            ]


def operation_of(request: Request) -> str | None:
    """The operation's name, if the request itself has it: all but REST's protocols do."""
    if target := request.header("x-amz-target"):
        return target.rpartition(".")[2]
    if _speaks_cbor(request) and (found := _CBOR_PATH.search(request.path)):
        return found[1]
    return _form(request).get("Action")


def _action(service: str, operation: str) -> str:
    if service == "sqs":  # a batch needs what one message does
        return f"sqs:{operation.removesuffix('Batch').lower()}"
    return f"{_PREFIXES.get(service, service)}:{operation}"


def _passes(service: str, fields: object, name: str) -> list[AccessRequest]:
    """Who gives a service a role needs permission for that, or anybody could get what the role may.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    given = fields if isinstance(fields, list) else []
    roles = sorted({str(one[name]) for one in given if isinstance(one, dict) and one.get(name)})
    context = {"iam:PassedToService": f"{service}.amazonaws.com"}
    return [AccessRequest("iam:PassRole", (role,), context=context) for role in roles]


def _dynamodb(operation: str, body: Mapping[str, object], prefix: str) -> list[AccessRequest]:
    def ask(action: str, table: object, index: object = None) -> AccessRequest:
        arn = str(table) if str(table).startswith("arn:") else f"{prefix}table/{table}"
        return AccessRequest(f"dynamodb:{action}", (f"{arn}/index/{index}" if index else arn,))

    if operation in {"TransactWriteItems", "TransactGetItems"}:
        items = body.get("TransactItems")
        entries = (
            [pair for item in items if isinstance(item, dict) for pair in item.items()]
            if isinstance(items, list)
            else []
        )
        return [
            ask(_TRANSACT.get(str(kind), "GetItem"), entry.get("TableName"))
            for kind, entry in entries
            if isinstance(entry, dict)
        ]
    batch = body.get("RequestItems")
    if isinstance(batch, dict):
        return [ask(operation, table) for table in batch]
    if stream := str(body.get("StreamArn") or body.get("ShardIterator") or ""):
        return [AccessRequest(f"dynamodb:{operation}", (stream.partition("|")[0],))]
    table = body.get("TableName") or body.get("ResourceArn")
    if table is None:
        return [AccessRequest(f"dynamodb:{operation}")]
    return [ask(operation, table, body.get("IndexName"))]


def _lambda_arns(request: Request, prefix: str) -> tuple[str, ...]:
    match = re.match(r"/[0-9-]+/functions/([^/]+)", request.path)
    if match is None:
        if mapping := re.match(r"/[0-9-]+/event-source-mappings/([^/]*)", request.path):
            return (f"{prefix}event-source-mapping:{mapping[1]}" if mapping[1] else "*",)
        tagged = re.match(r"/[0-9-]+/tags/([^/]+)", request.path)
        return (unquote(tagged[1]),) if tagged else ()
    name = unquote(match[1])
    arn = name if name.startswith("arn:") else f"{prefix}function:{name.rpartition('function:')[2]}"
    qualifier = dict(parse_qsl(request.query)).get("Qualifier")
    return (f"{arn}:{qualifier}",) if qualifier else (arn,)


def _s3(request: Request, operation: str) -> list[AccessRequest]:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html."""
    path = re.sub(r"^([^/]+)/$", r"\1", unquote(request.path).lstrip("/"))
    if operation == "DeleteObjects":
        keys = re.findall(r"<Key>([^<]*)</Key>", request.body.decode("utf-8", "replace"))
        return [
            AccessRequest("s3:DeleteObject", (f"arn:aws:s3:::{path}/{unescape(key)}",))
            for key in keys
        ]
    action = _S3_ACTIONS.get(operation, operation)
    if action in {"GetObject", "DeleteObject"} and "versionId" in dict(parse_qsl(request.query)):
        action += "Version"
    asked = [AccessRequest(f"s3:{action}", (f"arn:aws:s3:::{path}",) if path else ())]
    source = request.header("x-amz-copy-source")
    if source is not None:
        name, _, query = source.partition("?")
        read = "GetObjectVersion" if query.startswith("versionId=") else "GetObject"
        asked.append(AccessRequest(f"s3:{read}", (f"arn:aws:s3:::{unquote(name).lstrip('/')}",)))
    return asked


def _events(operation: str, body: Mapping[str, object], prefix: str) -> list[AccessRequest]:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html."""

    def bus(name: object) -> str:
        text = str(name or "default")
        return text if text.startswith("arn:") else f"{prefix}event-bus/{text}"

    def resources() -> set[str]:
        entries = body.get("Entries")
        if operation == "PutEvents" and isinstance(entries, list):
            return {bus(entry.get("EventBusName")) for entry in entries if isinstance(entry, dict)}
        if arn := body.get("ResourceARN"):
            return {str(arn)}
        if rule := body.get("Rule") or (body.get("Name") if operation.endswith("Rule") else None):
            name = bus(body.get("EventBusName")).rpartition("event-bus/")[2]
            return {f"{prefix}rule/{rule}" if name == "default" else f"{prefix}rule/{name}/{rule}"}
        if operation.endswith(("EventBus", "Permission")):
            return {bus(body.get("Name") or body.get("EventBusName"))}
        return set()

    passed = _passes("events", body.get("Targets"), "RoleArn") if operation == "PutTargets" else []
    needed = [AccessRequest(f"events:{operation}", (arn,)) for arn in sorted(resources())]
    return [*(needed or [AccessRequest(f"events:{operation}")]), *passed]


def _after_version(path: str) -> str:
    return re.sub(r"^/v2(?=/)", "", unquote(path))


def _resources(service: str, fields: Mapping[str, object], prefix: str) -> tuple[str, ...]:
    """Of a service whose requests name the resource in their fields; none where it cannot be told."""

    def given(*names: str) -> str:
        return next((str(fields[name]) for name in names if fields.get(name)), "")

    arn = ""
    match service:
        case "sns":
            topic = f"{prefix}{name}" if (name := given("Name")) else ""
            arn = (
                given("TopicArn", "TargetArn", "ResourceArn")
                or given("SubscriptionArn").rpartition(":")[0]
                or topic
            )
        case "sqs" if name := given("QueueUrl", "QueueName").rpartition("/")[2]:
            arn = f"{prefix}{name}"
        case "logs" if group := given("logGroupName"):
            arn = f"{prefix}log-group:{group}"
            stream = given("logStreamName")
            return (arn, f"{arn}:log-stream:{stream}") if stream else (arn, f"{arn}:")
        case "sts":
            arn = given("RoleArn")
        case "secretsmanager" if name := given("SecretId", "Name"):
            arn = name if name.startswith("arn:") else f"{prefix}secret:{name}-AbCdEf"
        case "ssm" if name := given("Name", "Path"):
            arn = f"{prefix}parameter/{name.lstrip('/')}"
    return (arn,) if arn else ()


def _speaks_cbor(request: Request) -> bool:
    return request.header("smithy-protocol") == "rpc-v2-cbor"


def _form(request: Request) -> dict[str, str]:
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"))) if _is_form(request) else {}
    return form or dict(parse_qsl(request.query))


def _is_form(request: Request) -> bool:
    return (request.header("content-type") or "").startswith("application/x-www-form-urlencoded")


def _json(body: bytes) -> Mapping[str, object]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


SIGNATURE_CODES = {
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


def signature_refusal(request: Request, service: str, error: SignatureError) -> Answer:
    """A request whose signature does not hold, by the names that the service's protocol has for it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html (JSON)
    https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html (JSON by paths)
    https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html (query)
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    code, message = error.code, error.message
    if service == "s3" and code == "InvalidClientTokenId":
        code, message = (
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
    elif (
        service not in {"s3", *_XML_SERVICES}
        and not _is_form(request)
        and not request.header("x-amzn-query-mode")
    ):
        code = SIGNATURE_CODES.get(code, code)
    return refusal(request, service, code, message, 400 if request.header("x-amz-target") else 403)


def refusal(request: Request, service: str, code: str, message: str, status: int) -> Answer:
    """An error in the wording of the service's protocol: status, headers, body."""
    if request.header("x-amz-target"):
        body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
        headers = [("content-type", "application/x-amz-json-1.1"), ("x-amzn-errortype", code)]
        if request.header(
            "x-amzn-query-mode"
        ):  # SQS: the codes that callers knew before it spoke JSON
            headers.append(("x-amzn-query-error", f"{code};Sender"))
        return status, headers, body
    if _speaks_cbor(request):
        headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
        return status, headers, b"\xa2" + b"".join(map(_cbor, ("__type", code, "message", message)))
    if service == "s3" or service in _XML_SERVICES or _is_form(request):
        escaped = message.replace("&", "&amp;").replace("<", "&lt;")
        error = f"<Code>{code}</Code><Message>{escaped}</Message>"
        if service == "s3":
            xml = f"<Error>{error}</Error>"
        else:
            xml = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"
        return status, [("content-type", "text/xml")], xml.encode()
    return error_answer(status, code, message)


def _cbor(text: str) -> bytes:
    """A text of up to 64 KB: https://www.rfc-editor.org/rfc/rfc8949.html#section-3.1."""
    encoded = text.encode()[:0xFFFF]
    return b"\x79" + len(encoded).to_bytes(2, "big") + encoded
