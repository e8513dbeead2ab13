"""Reads zip files of functions: those that are deployed, and those that a plan would deploy."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.network.trust import ca_bundle
from terralive_stub.shared.json_documents import text
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from terralive_cli.restoring.by_api import FunctionVersion

_log: Final = logging.getLogger("terralive.cli")
_OBJECT: Final = "aws_s3_object"
_TIMEOUT_SECONDS: Final = 10


class NotDownloadedError(Exception):
    """Code cannot be downloaded. Its text is the reason."""


def downloaded(location: str, *, tail_bytes: int = 0) -> bytes:
    """Download a zip file from the link that Lambda gives.

    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html

    Args:
        location: the link, as GetFunction answers with it.
        tail_bytes: download only so many bytes at its end, if the server can do that; 0 for all.

    Raises:
        NotDownloadedError: it cannot be downloaded, or an emulator gives no link.
    """
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415  # heavy
    from botocore.exceptions import HTTPClientError  # noqa: PLC0415  # heavy
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415  # heavy
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # heavy

    if not location.startswith("http"):
        message = "its code cannot be downloaded from here"
        raise NotDownloadedError(message)
    headers = {}
    if tail_bytes:
        headers["Range"] = f"bytes=-{tail_bytes}"
    # What boto3 uses for AWS's services.
    verify: Any = ca_bundle() or True
    session = URLLib3Session(
        verify=verify, proxies=get_environ_proxies(location), timeout=_TIMEOUT_SECONDS
    )
    request = AWSRequest("GET", location, headers=headers)
    try:
        response: Any = session.send(request.prepare())
        content = bytes(response.content)
    except HTTPClientError:
        # The text of such an error contains the link, which works for everybody who has it.
        message = "its code could not be downloaded"
        raise NotDownloadedError(message) from None
    if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        message = f"its code could not be downloaded (HTTP {response.status_code})"
        raise NotDownloadedError(message)
    return content


def planned_sha256(
    function: PlannedResource,
    plan: ShownPlan,
    directory: Path,
    version: FunctionVersion,
    s3: Callable[[], S3Client],
) -> str:
    """Return the Base64 SHA-256 of the zip file that a plan would deploy.

    Args:
        function: the function in the plan.
        plan: the plan.
        directory: the folder that Terraform runs in.
        version: the version whose zip file is looked for.
        s3: returns the client of S3 for the function's account and region.

    Returns:
        The sum; "" if it is not known, or if the zip file certainly is another one.
    """
    filename = text(function.after, "filename")
    if filename:
        return _sum_of_file(directory / filename)
    bucket, key = text(function.after, "s3_bucket"), text(function.after, "s3_key")
    if not bucket or not key or _changes(plan, bucket, key):
        return ""
    if text(function.after, "source_code_hash") == version.sha256:
        # The configuration's own sum of the zip file. Nobody needs the right to read the object.
        return version.sha256
    object_version = text(function.after, "s3_object_version")
    return _sum_of_object(s3, bucket, key, object_version, version.code_bytes)


def _sum_of_file(file: Path) -> str:
    try:
        return _base64(file.read_bytes())
    except OSError:
        return ""


def _changes(plan: ShownPlan, bucket: str, key: str) -> bool:
    """Tell whether a plan would upload another object."""
    for item in plan.of_type(_OBJECT):
        names = {text(item.before, "key"), text(item.after, "key")}
        if key in names and item.action != "no-op":
            buckets = {text(item.before, "bucket"), text(item.after, "bucket")}
            return bucket in buckets or "bucket" in item.unknown
    return False


def _sum_of_object(
    s3: Callable[[], S3Client], bucket: str, key: str, version: str, code_bytes: int
) -> str:
    """Return the sum of an object, which is read only if its size is the one looked for."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    named: Any = {"Bucket": bucket, "Key": key}
    if version:
        named["VersionId"] = version
    try:
        client = s3()
        if client.head_object(**named)["ContentLength"] != code_bytes:
            return ""
        return _base64(client.get_object(**named)["Body"].read())
    except (BotoCoreError, ClientError) as error:
        _log.debug("s3://%s/%s cannot be read: %s", bucket, key, type(error).__name__)
        return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
