"""The debug stack's bucket in the sandbox: uploads to it, and what is found of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.stub_bucket import StubBucket
from terralive_cli.joining.inventory import AwsInventory
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_terraform.artifacts import StubCoordinates, StubObject, build_stub_zip
from terralive_terraform.debug_stack import adoption
from terralive_testing.deployers.sandbox import Aws, unique

OTHER = "222222222222"
COORDINATES = StubCoordinates("wss://stub.example/stub", "orders", "dev", bytes(32))


@pytest.fixture
def caller(sandbox: SandboxInfo) -> Caller:
    return Caller(
        account=sandbox.account_id,
        arn="arn:aws:iam::123456789012:user/developer",
        region=sandbox.region,
        credentials=lambda: pytest.fail("nobody asks for credentials"),
        session=boto3.Session(
            sandbox.access_key_id, sandbox.secret_access_key, region_name=sandbox.region
        ),
        endpoint_url=sandbox.endpoint,
    )


def test_functions_get_the_stub_from_the_bucket(
    sandbox: SandboxInfo, caller: Caller, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    bucket = unique("stubs")
    aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="stub/another.zip", Body=b"another version's")
    stub = build_stub_zip(COORDINATES, tmp_path)
    target = StubObject.of(bucket, stub)

    for _ in range(2):
        StubBucket(caller).upload(stub, target)
        StubBucket(caller).remove_outdated(target)

    # An apply of another version may run now, and need its own.
    keys = [item["Key"] for item in aws.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == sorted(["stub/another.zip", target.key])
    function = aws.function("def handler(event, context): pass")
    updated = aws.lambda_.update_function_code(
        FunctionName=function, S3Bucket=bucket, S3Key=target.key
    )
    assert updated["CodeSha256"] == stub.sha256_base64


def test_the_stub_is_never_uploaded_to_a_bucket_of_another_account(
    sandbox: SandboxInfo, caller: Caller, tmp_path: Path
) -> None:
    """Whoever knows the bucket's name may have made a bucket of that name before."""
    other = Aws(sandbox).in_account(OTHER)
    bucket = unique("stubs")
    other.s3.create_bucket(Bucket=bucket)
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}
    statement = {**everybody, "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    other.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
    stub = build_stub_zip(COORDINATES, tmp_path)

    with pytest.raises(CredentialsError) as refused:
        StubBucket(caller).upload(stub, StubObject.of(bucket, stub))

    assert refused.value.reference == "stub-bucket-refused"
    assert bucket in refused.value.message
    assert "s3:PutObject" in str(refused.value.hint)
    assert "Contents" not in other.s3.list_objects_v2(Bucket=bucket)
    with pytest.raises(CredentialsError):
        AwsInventory(caller).id_of(adoption.BUCKET, bucket)


def test_a_bucket_that_was_removed_by_hand_is_named(caller: Caller, tmp_path: Path) -> None:
    stub = build_stub_zip(COORDINATES, tmp_path)
    with pytest.raises(TerraliveError) as missing:
        StubBucket(caller).upload(stub, StubObject.of(unique("gone"), stub))
    assert missing.value.reference == "stub-bucket-missing"
    assert "terralive apply" in str(missing.value.hint)


@pytest.mark.parametrize(
    "part",
    [
        adoption.BUCKET_POLICY,
        adoption.BUCKET_ACCESS,
        adoption.BUCKET_ENCRYPTION,
        adoption.IMAGES_POLICY,
        adoption.IMAGES_LIFECYCLE,
        adoption.PERMISSION,
        adoption.ROLE_POLICY,
        adoption.ROUTE,
        adoption.STAGE,
        adoption.AUTHORIZER,
        adoption.INTEGRATION,
    ],
)
def test_what_a_destroy_has_deleted_and_the_state_still_has_has_no_parts(
    caller: Caller, part: str
) -> None:
    assert AwsInventory(caller).parts_of(part, unique("gone")) == {}


def test_a_bucket_is_found_with_those_of_its_parts_that_exist(
    sandbox: SandboxInfo, caller: Caller
) -> None:
    s3 = Aws(sandbox).s3
    bucket = unique("stubs")
    inventory = AwsInventory(caller)
    assert inventory.id_of(adoption.BUCKET, bucket) == ""
    s3.create_bucket(Bucket=bucket)
    assert inventory.id_of(adoption.BUCKET, bucket) == bucket
    assert inventory.tags == [], "an apply that was interrupted has not tagged it"
    parts = (adoption.BUCKET_POLICY, adoption.BUCKET_ACCESS)
    for part in parts:
        assert inventory.parts_of(part, bucket) == {}

    s3.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": "terralive:app", "Value": "orders"}]}
    )
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketWebsite"}
    statement = {**deny, "Resource": f"arn:aws:s3:::{bucket}"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    assert inventory.id_of(adoption.BUCKET, bucket) == bucket
    assert inventory.tags == [{"terralive:app": "orders"}]
    for part in (*parts, adoption.BUCKET_ENCRYPTION):
        assert inventory.parts_of(part, bucket) == {"": bucket}


def test_a_repository_is_found_with_those_of_its_policies_that_exist(
    sandbox: SandboxInfo, caller: Caller
) -> None:
    ecr = caller.session.client("ecr", endpoint_url=sandbox.endpoint)
    name = unique("stub-images")
    inventory = AwsInventory(caller)
    assert inventory.id_of(adoption.IMAGES, name) == ""
    tags = [{"Key": "terralive:app", "Value": "orders"}]
    ecr.create_repository(repositoryName=name, tags=tags)
    assert inventory.id_of(adoption.IMAGES, name) == name
    assert inventory.tags == [{"terralive:app": "orders"}]
    policies = (adoption.IMAGES_POLICY, adoption.IMAGES_LIFECYCLE)
    assert [inventory.parts_of(kind, name) for kind in policies] == [{}, {}]

    reader = {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    ecr.set_repository_policy(
        repositoryName=name,
        policyText=json.dumps({"Version": "2012-10-17", "Statement": [reader]}),
    )
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
        "action": {"type": "expire"},
    }
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]}))
    assert [inventory.parts_of(kind, name) for kind in policies] == [{"": name}, {"": name}]
