"""Questions to AWS about a debug stack: its description, its resources, the account's concurrency.

It reads only, except `put_description`. A call that AWS refuses is a `CredentialsError`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.deploy import aws
from terralive_cli.deploy.stub_bucket import s3_client
from terralive_cli.joining.concurrency import Concurrency
from terralive_cli.joining.description import KEY, StackDescription, from_item, to_item
from terralive_stub.shared.json_documents import as_object, items, parse_object, text
from terralive_terraform.debug_stack import adoption

if TYPE_CHECKING:
    from types_boto3_apigatewayv2 import ApiGatewayV2Client
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_iam import IAMClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_s3 import S3Client

_log: Final = logging.getLogger("terralive.cli")
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_NO_PART_OF_BUCKET: Final = (
    "NoSuchBucketPolicy",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)
# A bucket, a role, an API or a repository that does not exist.
_GONE: Final = (
    "NoSuchBucket",
    "NoSuchEntity",
    "NotFoundException",
    "RepositoryNotFoundException",
)


@dataclass(slots=True)
class AwsInventory:
    """The resources of the caller's account; see `adoption.Inventory`.

    Attributes:
        caller: the caller.
        tags: the tags of each resource that `id_of` has found. An API, of which there may be
            several with one name, counts only with tags of terralive's.
        reserved: the reserved concurrency of the function that `id_of` has found; None for none.
    """

    caller: aws.Caller
    tags: list[Mapping[str, str]] = field(default_factory=list)
    reserved: int | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def description(self, table: str) -> StackDescription | None:
        """Read the description of a debug stack; None where there is no table or no description."""
        with _explained():
            try:
                answer = self._dynamodb.get_item(TableName=table, Key=KEY, ConsistentRead=True)
            except self._dynamodb.exceptions.ResourceNotFoundException:
                return None
        item = answer.get("Item")
        if item is None:
            return None
        return from_item(item)

    def put_description(self, table: str, description: StackDescription) -> None:
        """Write the description of a debug stack."""
        with _explained():
            self._dynamodb.put_item(TableName=table, Item=to_item(description))

    def concurrency(self) -> Concurrency | None:
        """Return the account's concurrency; None where it is not told or the caller may not ask."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            answer = self._lambda.get_account_settings()
        except (ClientError, BotoCoreError) as error:
            _log.debug("the account's concurrency is not known: %s", error)
            return None
        limit = answer.get("AccountLimit", {})
        most = limit.get("ConcurrentExecutions")
        unreserved = limit.get("UnreservedConcurrentExecutions")
        if most is None or unreserved is None:  # an emulator
            return None
        return Concurrency(most, unreserved)

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a resource with a name; "" where there is none."""
        finders = {
            adoption.API: self._api,
            adoption.TABLE: self._table,
            adoption.BUCKET: self._bucket,
            adoption.FUNCTION: self._function,
            adoption.IMAGES: self._repository,
            adoption.ROLE: self._role,
            adoption.LOG_GROUP: self._log_group,
        }
        find = finders.get(kind)
        if find is None:
            return ""
        with _explained():
            return find(name)

    def parts_of(self, kind: str, outer: str) -> Mapping[str, str]:
        """Return the resources inside another one: name -> id.

        The other one may be in the state only: a destroy that was interrupted has deleted it.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        with _explained():
            try:
                return self._parts_of(kind, outer)
            except ClientError as error:
                if error.response["Error"].get("Code") in _GONE:
                    return {}
                raise

    def _parts_of(self, kind: str, outer: str) -> Mapping[str, str]:
        match kind:
            case adoption.ROLE_POLICY:
                policies = self._iam.get_paginator("list_role_policies")
                names = policies.paginate(RoleName=outer).build_full_result()["PolicyNames"]
                return {name: name for name in names}
            case adoption.PERMISSION:
                return self._statements(outer)
            case adoption.IMAGES_POLICY | adoption.IMAGES_LIFECYCLE:
                return self._policy_of_repository(kind, outer)
            case adoption.BUCKET_POLICY | adoption.BUCKET_ACCESS | adoption.BUCKET_ENCRYPTION:
                return self._part_of_bucket(kind, outer)
        return self._parts_of_api(kind, outer)

    def _parts_of_api(self, kind: str, api: str) -> Mapping[str, str]:
        parts: dict[str, str] = {}
        match kind:
            case adoption.ROUTE:
                routes = self._apis.get_paginator("get_routes").paginate(ApiId=api)
                for route in routes.build_full_result()["Items"]:
                    parts[route["RouteKey"]] = route["RouteId"]
            case adoption.STAGE:
                stages = self._apis.get_paginator("get_stages").paginate(ApiId=api)
                for stage in stages.build_full_result()["Items"]:
                    parts[stage["StageName"]] = stage["StageName"]
            case adoption.AUTHORIZER:
                authorizers = self._apis.get_paginator("get_authorizers").paginate(ApiId=api)
                for authorizer in authorizers.build_full_result()["Items"]:
                    parts[authorizer["Name"]] = authorizer["AuthorizerId"]
            case adoption.INTEGRATION:
                integrations = self._apis.get_paginator("get_integrations").paginate(ApiId=api)
                for integration in integrations.build_full_result()["Items"]:
                    parts[""] = integration["IntegrationId"]
        return parts

    def _api(self, name: str) -> str:
        pages = self._apis.get_paginator("get_apis").paginate()
        for item in pages.build_full_result()["Items"]:
            tags = item.get("Tags", {})
            if item["Name"] == name and "terralive:app" in tags:
                self.tags.append(tags)
                return str(item["ApiId"])
        return ""

    def _table(self, name: str) -> str:
        try:
            arn = self._dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return ""
        answer = self._dynamodb.list_tags_of_resource(ResourceArn=arn)
        self.tags.append({tag["Key"]: tag["Value"] for tag in answer["Tags"]})
        return name

    def _function(self, name: str) -> str:
        try:
            answer = self._lambda.get_function(FunctionName=name)
        except self._lambda.exceptions.ResourceNotFoundException:
            return ""
        self.tags.append(answer.get("Tags", {}))
        self.reserved = answer.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        return name

    def _statements(self, function: str) -> Mapping[str, str]:
        try:
            policy = parse_object(self._lambda.get_policy(FunctionName=function)["Policy"])
        except self._lambda.exceptions.ResourceNotFoundException:
            return {}
        names = [text(as_object(item), "Sid") for item in items(policy, "Statement")]
        return {name: name for name in names}

    def _role(self, name: str) -> str:
        try:
            role = self._iam.get_role(RoleName=name)["Role"]
        except self._iam.exceptions.NoSuchEntityException:
            return ""
        self.tags.append({tag["Key"]: tag["Value"] for tag in role.get("Tags", [])})
        return name

    def _log_group(self, name: str) -> str:
        groups = self._client("logs").get_paginator("describe_log_groups")
        pages = groups.paginate(logGroupNamePrefix=name).build_full_result()
        if any(group["logGroupName"] == name for group in pages["logGroups"]):
            return name
        return ""

    def _repository(self, name: str) -> str:
        """Return the name of a repository; "" also where the caller may not ask.

        Without any function that is a container image, nobody needs a permission for that.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        try:
            answer = self._ecr.describe_repositories(repositoryNames=[name])
            arn = answer["repositories"][0]["repositoryArn"]
            tags = self._ecr.list_tags_for_resource(resourceArn=arn)["tags"]
        except self._ecr.exceptions.RepositoryNotFoundException:
            return ""
        except ClientError as error:
            if not aws.is_denied(error):
                raise
            _log.debug("whether there is a repository %s is not known: %s", name, error)
            return ""
        self.tags.append({tag["Key"]: tag["Value"] for tag in tags})
        return name

    def _policy_of_repository(self, kind: str, name: str) -> Mapping[str, str]:
        missing = self._ecr.exceptions
        try:
            if kind == adoption.IMAGES_POLICY:
                self._ecr.get_repository_policy(repositoryName=name)
            else:
                self._ecr.get_lifecycle_policy(repositoryName=name)
        except (
            missing.RepositoryPolicyNotFoundException,
            missing.LifecyclePolicyNotFoundException,
        ):
            return {}
        return {"": name}

    def _bucket(self, name: str) -> str:
        """Return the name of a bucket. S3 refuses to tell anything of another account's.

        A bucket gets its tags after it was created. One without tags is terralive's own, too: its
        name ends with the digest of this stage.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        owner = self.caller.account
        try:
            answer = self._s3.get_bucket_tagging(Bucket=name, ExpectedBucketOwner=owner)
        except ClientError as error:
            match error.response["Error"].get("Code"):
                case "NoSuchBucket":
                    return ""
                case "NoSuchTagSet":
                    return name
            raise
        self.tags.append({tag["Key"]: tag["Value"] for tag in answer["TagSet"]})
        return name

    def _part_of_bucket(self, kind: str, name: str) -> Mapping[str, str]:
        """Return one part of a bucket; the codes of S3's answers say that there is none."""
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        owner = self.caller.account
        try:
            match kind:
                case adoption.BUCKET_POLICY:
                    self._s3.get_bucket_policy(Bucket=name, ExpectedBucketOwner=owner)
                case adoption.BUCKET_ACCESS:
                    self._s3.get_public_access_block(Bucket=name, ExpectedBucketOwner=owner)
                case adoption.BUCKET_ENCRYPTION:
                    self._s3.get_bucket_encryption(Bucket=name, ExpectedBucketOwner=owner)
        except ClientError as error:
            if error.response["Error"].get("Code") in _NO_PART_OF_BUCKET:
                return {}
            raise
        return {"": name}

    @property
    def _s3(self) -> S3Client:
        if "s3" not in self._clients:
            self._clients["s3"] = s3_client(self.caller)
        client: S3Client = self._clients["s3"]
        return client

    @property
    def _ecr(self) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        return self._client("ecr")

    @property
    def _apis(self) -> ApiGatewayV2Client:
        client: ApiGatewayV2Client = self._client("apigatewayv2")
        return client

    @property
    def _dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def _iam(self) -> IAMClient:
        client: IAMClient = self._client("iam")
        return client

    @property
    def _lambda(self) -> LambdaClient:
        client: LambdaClient = self._client("lambda")
        return client

    def _client(self, service: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        if service not in self._clients:
            self._clients[service] = self.caller.session.client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.caller.endpoint_url,
            )
        return self._clients[service]


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error of AWS into a `CredentialsError` that says what to do."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise aws.explained(error) from None
