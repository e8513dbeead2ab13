"""IAM actions and resources that a request to S3 needs. No I/O.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import unescape

from terralive_sandbox.access.calls import Call
from terralive_sandbox.access.policy import AccessRequest

# Actions that have another name than the operations that need them.
_OPERATIONS: Final = {
    "GetAccelerateConfiguration": ["GetBucketAccelerateConfiguration"],
    "GetBucketCORS": ["GetBucketCors"],
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
}
_ACTIONS: Final = {
    operation: action for action, operations in _OPERATIONS.items() for operation in operations
}
_VERSIONED: Final = frozenset({"GetObject", "DeleteObject"})
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_BUCKET_IN_HOST: Final = re.compile(
    r"(?P<name>[^:/]+)\.s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?(:|$)"
)
_OBJECT_KEY: Final = re.compile(r"<Key>([^<]*)</Key>")


def s3_access(call: Call) -> list[AccessRequest]:
    """Return every access that a request to S3 needs."""
    path = _with_bucket_of_host(unquote(call.request.path), call.request.header("host") or "")
    # A bucket alone may have a slash after its name.
    if path.count("/") == 1:
        path = path.removesuffix("/")
    if call.operation == "DeleteObjects":
        keys = _OBJECT_KEY.findall(call.request.body.decode("utf-8", "replace"))
        arns = [f"arn:aws:s3:::{path}/{unescape(key)}" for key in keys]
        return [AccessRequest("s3:DeleteObject", (arn,)) for arn in arns]
    action = _ACTIONS.get(call.operation, call.operation)
    if action in _VERSIONED and "versionId" in dict(parse_qsl(call.request.query)):
        action += "Version"
    resources = (f"arn:aws:s3:::{path}",) if path else ()
    needed = [AccessRequest(f"s3:{action}", resources)]
    source = call.request.header("x-amz-copy-source")
    if source is not None:
        # A copy reads its source, `/bucket/key?versionId=…`.
        name, _, query = source.partition("?")
        action = "GetObject"
        if query.startswith("versionId="):
            action = "GetObjectVersion"
        arn = f"arn:aws:s3:::{unquote(name).lstrip('/')}"
        needed.append(AccessRequest(f"s3:{action}", (arn,)))
    return needed


def _with_bucket_of_host(path: str, host: str) -> str:
    """Return the bucket and the key: the host's name may have the bucket, and the path the key."""
    bucket = _BUCKET_IN_HOST.match(host)
    if bucket is None:
        return path.lstrip("/")
    return f"{bucket['name']}{path}"
