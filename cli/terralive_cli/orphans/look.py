"""A look at resources that a plan creates: whether AWS has them already. It reads only.

What the caller may not look at counts as if it did not exist: an apply will tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.deploy.accounts import Clients
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.json_documents import as_object, items, parse_object, text
from terralive_terraform.debug_stack.adoption import (
    API,
    BUCKET,
    FUNCTION,
    LOG_GROUP,
    PERMISSION,
    ROLE,
    ROLE_POLICY,
    TABLE,
    Import,
)
from terralive_terraform.output.new_resources import (
    ALIAS,
    EVENT_SOURCE,
    FUNCTION_URL,
    POLICY,
    QUEUE,
    TOPIC,
    NewResource,
)
from terralive_terraform.substitution.marker import StageName, stage_of

if TYPE_CHECKING:
    from types_boto3_apigatewayv2 import ApiGatewayV2Client
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_iam import IAMClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

_log: Final = logging.getLogger("terralive.cli")
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Located:
    """A resource that a plan creates, and the place that it will be in.

    Attributes:
        resource: the resource.
        account: the id of its account.
        region: its region.
        partition: the partition of its account: `aws`.
    """

    resource: NewResource
    account: str
    region: str
    partition: str


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that exists, although Terraform's state does not have it.

    Attributes:
        address: its address in the plan.
        type: its type.
        id: the id with which the provider imports it.
        created: the time of its creation, in seconds since the epoch; None where AWS does not tell
            it.
        live_for: the stage whose stub it carries; None for any other resource.
    """

    address: str
    type: str
    id: str
    created: float | None = None
    live_for: StageName | None = None

    @property
    def import_(self) -> Import:
        """The import of it."""
        return Import(self.address, self.id)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What AWS tells of a resource: its id for the provider, and the time of its creation."""

    id: str
    created: float | None = None
    live_for: StageName | None = None


class Look:
    """A look at resources in the accounts of an app.

    Args:
        clients: the clients of AWS's services.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._finders: Mapping[str, Callable[[Located], _Answer | None]] = {
            ALIAS: self._alias,
            API: self._api,
            BUCKET: self._bucket,
            EVENT_SOURCE: self._event_source,
            FUNCTION: self._function,
            FUNCTION_URL: self._function_url,
            LOG_GROUP: self._log_group,
            PERMISSION: self._permission,
            POLICY: self._policy,
            QUEUE: self._queue,
            ROLE: self._role,
            ROLE_POLICY: self._role_policy,
            TABLE: self._table,
            TOPIC: self._topic,
        }

    def find(self, located: Located) -> Found | None:
        """Return a resource if it exists; None if it does not, or if nobody may look at it."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        resource = located.resource
        try:
            answer = self._finders[resource.type](located)
        except (ClientError, BotoCoreError, CredentialsError) as error:
            _log.debug("%s is not found: %s", resource.address, error)
            return None
        if answer is None:
            return None
        return Found(resource.address, resource.type, answer.id, answer.created, answer.live_for)

    def _function(self, located: Located) -> _Answer:
        name = located.resource.name
        answer = self._lambda(located).get_function_configuration(FunctionName=name)
        changed = datetime.fromisoformat(answer["LastModified"])
        # Lambda tells no time of creation. A function that nobody knows has not been changed.
        return _Answer(name, changed.timestamp(), stage_of(answer.get("Description", "")))

    def _alias(self, located: Located) -> _Answer:
        name, function = located.resource.name, located.resource.outer
        self._lambda(located).get_alias(FunctionName=function, Name=name)
        return _Answer(f"{function}/{name}")

    def _function_url(self, located: Located) -> _Answer:
        function, qualifier = located.resource.outer, located.resource.optional
        arguments: dict[str, Any] = {"FunctionName": function}
        own_id = function
        if qualifier:
            arguments["Qualifier"] = qualifier
            own_id = f"{function}/{qualifier}"
        answer = self._lambda(located).get_function_url_config(**arguments)
        return _Answer(own_id, datetime.fromisoformat(answer["CreationTime"]).timestamp())

    def _permission(self, located: Located) -> _Answer | None:
        function, qualifier = located.resource.outer, located.resource.optional
        arguments: dict[str, Any] = {"FunctionName": function}
        own_id = f"{function}/{located.resource.name}"
        if qualifier:
            arguments["Qualifier"] = qualifier
            own_id = f"{function}:{qualifier}/{located.resource.name}"
        policy = parse_object(self._lambda(located).get_policy(**arguments)["Policy"])
        for statement in items(policy, "Statement"):
            if text(as_object(statement), "Sid") == located.resource.name:
                return _Answer(own_id)
        return None

    def _event_source(self, located: Located) -> _Answer | None:
        mappings = self._lambda(located).list_event_source_mappings(
            FunctionName=located.resource.outer, EventSourceArn=located.resource.name
        )
        for mapping in mappings["EventSourceMappings"]:
            return _Answer(mapping["UUID"])
        return None

    def _role(self, located: Located) -> _Answer:
        role = self._iam(located).get_role(RoleName=located.resource.name)["Role"]
        return _Answer(role["RoleName"], role["CreateDate"].timestamp())

    def _role_policy(self, located: Located) -> _Answer:
        name, role = located.resource.name, located.resource.outer
        self._iam(located).get_role_policy(RoleName=role, PolicyName=name)
        return _Answer(f"{role}:{name}")

    def _policy(self, located: Located) -> _Answer:
        path = located.resource.optional or "/"
        arn = f"arn:{located.partition}:iam::{located.account}:policy{path}{located.resource.name}"
        policy = self._iam(located).get_policy(PolicyArn=arn)["Policy"]
        return _Answer(arn, policy["CreateDate"].timestamp())

    def _log_group(self, located: Located) -> _Answer | None:
        name = located.resource.name
        logs: CloudWatchLogsClient = self._client("logs", located)
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        for group in pages.build_full_result()["logGroups"]:
            if group["logGroupName"] == name:
                return _Answer(name, group["creationTime"] / _MILLISECONDS)
        return None

    def _queue(self, located: Located) -> _Answer:
        sqs: SQSClient = self._client("sqs", located)
        url = sqs.get_queue_url(QueueName=located.resource.name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])
        return _Answer(url, float(answer["Attributes"]["CreatedTimestamp"]))

    def _topic(self, located: Located) -> _Answer:
        place = f"{located.region}:{located.account}"
        arn = f"arn:{located.partition}:sns:{place}:{located.resource.name}"
        sns: SNSClient = self._client("sns", located)
        sns.get_topic_attributes(TopicArn=arn)
        return _Answer(arn)

    def _table(self, located: Located) -> _Answer:
        dynamodb: DynamoDBClient = self._client("dynamodb", located)
        table = dynamodb.describe_table(TableName=located.resource.name)["Table"]
        return _Answer(table["TableName"], table["CreationDateTime"].timestamp())

    def _bucket(self, located: Located) -> _Answer:
        name = located.resource.name
        s3: S3Client = self._client("s3", located)
        # A bucket of another account does not count.
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=located.account)
        return _Answer(name)

    def _api(self, located: Located) -> _Answer | None:
        """Return the only API of a name: several may have the same one, and are not told apart."""
        apis: ApiGatewayV2Client = self._client("apigatewayv2", located)
        pages = apis.get_paginator("get_apis").paginate()
        named = [
            api
            for api in pages.build_full_result()["Items"]
            if api["Name"] == located.resource.name
        ]
        if len(named) != 1:
            return None
        (api,) = named
        return _Answer(api["ApiId"], api["CreatedDate"].timestamp())

    def _lambda(self, located: Located) -> LambdaClient:
        client: LambdaClient = self._client("lambda", located)
        return client

    def _iam(self, located: Located) -> IAMClient:
        client: IAMClient = self._client("iam", located)
        return client

    def _client(self, service: str, located: Located) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        return self._clients.client(service, located.account, located.region)
