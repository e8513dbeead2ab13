"""The debug stack's bucket, from which Lambda takes the stub's zip.

The zip contains the stage's secret. So it is uploaded here and is no resource of Terraform, and the
bucket has to belong to the caller's account, whatever its name says.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.deploy.aws import Caller, explained
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_terraform.artifacts import STUB_OBJECTS, Artifact, StubObject
from terralive_terraform.output.refusals import describe_missing

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_log: Final = logging.getLogger("terralive.cli")
# Lambda copies the code when a function changes, so an object is needed only while an apply runs.
# Every apply uploads its object before, so nothing that is older than this is needed any more.
_NEEDED: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the bucket: its key, and the time of its upload."""

    key: str
    uploaded: dt.datetime


def outdated(objects: Iterable[StoredObject], kept: str, now: dt.datetime) -> Iterator[str]:
    """Yield the keys of objects that no apply can need any more.

    Another checkout may have another version of terralive, and another stub.

    Args:
        objects: the objects in the bucket.
        kept: the key of the stub that functions have now.
        now: S3's time.
    """
    for item in objects:
        if item.key != kept and now - item.uploaded > _NEEDED:
            yield item.key


@dataclass(frozen=True, slots=True)
class StubBucket:
    """The bucket of a debug stack.

    Attributes:
        caller: the caller, in the account of the debug stack.
    """

    caller: Caller

    def upload(self, stub: Artifact, target: StubObject) -> None:
        """Upload the stub's zip. One that is there gets the time of now.

        Raises:
            CredentialsError: `stub-bucket-refused`; also what `aws.explained` returns.
            TerraliveError: `stub-bucket-missing`.
        """
        self._upload(target.bucket, target.key, stub.path.read_bytes())

    def upload_code(self, bucket: str, data: bytes) -> str:
        """Upload a function's own zip file, for one update of the function; return its key.

        It is removed with outdated stubs. It raises what `upload` raises.
        """
        key = f"{STUB_OBJECTS}own-{hashlib.sha256(data).hexdigest()}.zip"
        self._upload(bucket, key, data)
        return key

    def _upload(self, bucket: str, key: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            s3_client(self.caller).put_object(
                Bucket=bucket,
                Key=key,
                Body=data,
                ContentType="application/zip",
                ExpectedBucketOwner=self.caller.account,
            )
        except (ClientError, BotoCoreError) as error:
            raise _explained(bucket, error) from None

    def remove_outdated(self, kept: StubObject) -> None:
        """Remove the zips of older stubs. Where AWS refuses, they stay."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        owner = self.caller.account
        client = s3_client(self.caller)
        try:
            answer = client.list_objects_v2(
                Bucket=kept.bucket, Prefix=STUB_OBJECTS, ExpectedBucketOwner=owner
            )
            found = [
                StoredObject(item["Key"], item["LastModified"])
                for item in answer.get("Contents", [])
            ]
            # The clock of this machine may be wrong.
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            if date is None:  # an emulator
                return
            for key in outdated(found, kept.key, parsedate_to_datetime(date)):
                client.delete_object(Bucket=kept.bucket, Key=key, ExpectedBucketOwner=owner)
                _log.debug("the outdated stub %s is removed", key)
        except (ClientError, BotoCoreError) as error:
            _log.debug("outdated stubs stay in %s: %s", kept.bucket, error)


def s3_client(caller: Caller) -> S3Client:
    """Return a client of S3. An emulator may have no name in the DNS for each bucket."""
    from botocore.config import Config  # noqa: PLC0415  # heavy

    settings: Any = {}
    if caller.has_own_endpoint:
        settings = {"addressing_style": "path"}
    return caller.session.client("s3", endpoint_url=caller.endpoint_url, config=Config(s3=settings))


def _explained(bucket: str, error: Exception) -> TerraliveError:
    known = explained(error)
    if known.reference != "aws-refused":
        return known
    if "NoSuchBucket" in str(error):
        return TerraliveError(
            "stub-bucket-missing",
            f"The debug stack's bucket {bucket} does not exist any more.",
            hint="`terralive apply` creates it again in the checkout that has the debug stack's "
            "Terraform state. Elsewhere, run `terralive destroy` and then `terralive start`: they "
            "make a new debug stack.",
        )
    return CredentialsError(
        "stub-bucket-refused",
        f"Code cannot be uploaded to the bucket {bucket}: {error}",
        hint=f"{describe_missing(str(error))} terralive needs s3:PutObject on the bucket's "
        "objects, and s3:GetObject for Lambda, which reads them as the caller; see "
        "docs/PERMISSIONS.md.",
    )
