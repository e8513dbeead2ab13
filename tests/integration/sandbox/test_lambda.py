from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.event_sources import logged
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, code, unique
from terralive_testing.machine.waiting import eventually

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ECHO = """
import json, os
def handler(event, context):
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "mine": os.environ.get("MINE"),
            "memory": context.memory_limit_in_mb, "left": context.get_remaining_time_in_millis()}
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def invoke(aws: Aws, arn: str, event: object = None) -> Any:  # noqa: ANN401 - JSON
    return json.loads(
        aws.lambda_.invoke(FunctionName=arn, Payload=json.dumps(event))["Payload"].read()
    )


def test_an_invocation_runs_the_deployed_code_with_its_environment_and_context(aws: Aws) -> None:
    arn = aws.function(ECHO, environment={"MINE": "yes"})
    answer = aws.lambda_.invoke(FunctionName=arn, Payload=b'{"a": 1}')
    result = json.loads(answer["Payload"].read())
    assert result["event"] == {"a": 1}
    assert result["id"] == answer["ResponseMetadata"]["RequestId"]
    assert result["arn"] == arn
    assert result["name"] == arn.rpartition(":")[2]
    assert result["mine"] == "yes"
    assert int(result["memory"]) == 256
    assert 0 < result["left"] <= 10_000
    assert answer["ExecutedVersion"] == "$LATEST"


def test_the_handler_is_its_role_with_the_functions_name_as_session(aws: Aws) -> None:
    arn = aws.function(
        """
        import boto3
        def handler(event, context):
            identity = boto3.client("sts").get_caller_identity()["Arn"]
            try:
                boto3.client("sns").publish(TopicArn=event, Message="x")
            except Exception as error:
                return [identity, str(error)]
        """
    )
    topic = aws.sns.create_topic(Name=unique("t"))["TopicArn"]
    identity, refused = invoke(aws, arn, topic)
    name = arn.rpartition(":")[2]
    assert identity.split(":")[-1].startswith("assumed-role/role-")
    assert identity.endswith(f"/{name}")
    assert "AuthorizationError" in refused
    assert f"is not authorized to perform: SNS:Publish on resource: {topic}" in refused


def test_a_handlers_exception_is_the_callers_function_error_with_its_log(aws: Aws) -> None:
    arn = aws.function(
        'def handler(event, context):\n    print("hello")\n    raise ValueError("broken")\n'
    )
    answer = aws.lambda_.invoke(FunctionName=arn, LogType="Tail")
    error = json.loads(answer["Payload"].read())
    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "broken")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "START RequestId" in log
    assert "hello" in log
    assert "REPORT RequestId" in log


def test_a_function_that_takes_too_long_times_out(aws: Aws) -> None:
    arn = aws.function("import time\ndef handler(event, context):\n    time.sleep(60)\n", timeout=1)
    answer = aws.lambda_.invoke(FunctionName=arn)
    assert answer["FunctionError"] == "Unhandled"
    assert (
        "Task timed out after 1.00 seconds" in json.loads(answer["Payload"].read())["errorMessage"]
    )


def test_new_code_and_new_configuration_are_live_at_the_next_invocation(aws: Aws) -> None:
    arn = aws.function(
        "import os\ndef handler(event, context):\n    return ['old', os.environ.get('A')]\n"
    )
    assert invoke(aws, arn) == ["old", None]
    new = code("import os\ndef handler(event, context):\n    return ['new', os.environ.get('A')]\n")
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=new)
    assert invoke(aws, arn) == ["new", None]
    aws.lambda_.update_function_configuration(
        FunctionName=arn, Environment={"Variables": {"A": "1"}}
    )
    assert invoke(aws, arn) == ["new", "1"]


def test_an_event_invocation_is_accepted_at_once_and_runs(aws: Aws) -> None:
    table = unique("done")
    aws.dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    arn = aws.function(
        """
        import boto3
        def handler(event, context):
            boto3.client("dynamodb").put_item(TableName=event["table"], Item={"pk": {"S": "done"}})
        """,
        statements=[
            {
                "Effect": "Allow",
                "Action": "dynamodb:PutItem",
                "Resource": f"arn:aws:dynamodb:*:*:table/{table}",
            }
        ],
    )
    answer = aws.lambda_.invoke(
        FunctionName=arn, InvocationType="Event", Payload=json.dumps({"table": table}).encode()
    )
    assert answer["StatusCode"] == 202
    eventually(lambda: "Item" in aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": "done"}}))


def test_what_cannot_run_says_so_by_name(aws: Aws) -> None:
    name = unique("java")
    aws.lambda_.create_function(
        FunctionName=name,
        Runtime="java21",
        Handler="a.b",
        Role=aws.role(),
        Code={"ZipFile": code("")},
    )
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*java21"):
        aws.lambda_.invoke(FunctionName=name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.lambda_.invoke(FunctionName="nobody")
    image = unique("image")
    aws.lambda_.create_function(
        FunctionName=image,
        PackageType="Image",
        Role=aws.role(),
        Code={"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/resize:1"},
    )
    with pytest.raises(
        ClientError, match=r"NotEmulatedBySandbox.*container images other than terralive's stub"
    ):
        invoke(aws, image)


def test_a_role_needs_permission_to_invoke(aws: Aws) -> None:
    arn = aws.function(ECHO)
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    aws.assume(aws.role(allowed)).lambda_.invoke(FunctionName=arn)
    with pytest.raises(
        ClientError, match=r"AccessDeniedException.*lambda:InvokeFunction on resource"
    ):
        aws.assume(aws.role()).lambda_.invoke(FunctionName=arn)


def test_a_functions_own_policy_lets_a_role_in_but_not_against_a_denial(aws: Aws) -> None:
    arn = aws.function(ECHO)
    open_to = aws.role()
    denied = aws.role({"Effect": "Deny", "Action": "lambda:*", "Resource": "*"})
    for role in (open_to, denied):
        aws.lambda_.add_permission(
            FunctionName=arn,
            StatementId=unique("allow"),
            Action="lambda:InvokeFunction",
            Principal=role,
        )
    aws.assume(open_to).lambda_.invoke(FunctionName=arn)
    with pytest.raises(ClientError, match="AccessDeniedException"):
        aws.assume(denied).lambda_.invoke(FunctionName=arn)


def test_giving_a_service_a_role_needs_permission_to_pass_it(aws: Aws) -> None:
    given = aws.role()
    deploy = {"Effect": "Allow", "Action": ["lambda:*", "events:*"], "Resource": "*"}

    def passing(service: str) -> Aws:
        condition = {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}
        permission = {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": given,
            "Condition": condition,
        }
        return aws.assume(aws.role(deploy, permission))

    def create(by: Aws) -> str:
        return by.lambda_.create_function(
            FunctionName=unique("f"),
            Runtime="python3.12",
            Handler="app.handler",
            Role=given,
            Code={"ZipFile": code("")},
        )["FunctionArn"]

    def target(by: Aws) -> None:
        by.events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn, "RoleArn": given}])

    arn = create(passing("lambda"))
    rule = unique("rule")
    aws.events.put_rule(Name=rule, EventPattern='{"source": ["test"]}')
    target(passing("events"))
    other = passing("other")
    other.lambda_.update_function_configuration(FunctionName=arn, Timeout=9)
    for attempt in (
        lambda: create(other),
        lambda: create(passing("events")),
        lambda: other.lambda_.update_function_configuration(FunctionName=arn, Role=given),
        lambda: target(passing("lambda")),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        error = refused.value.response["Error"]
        assert error["Code"] == "AccessDeniedException"
        assert error["Message"].endswith(
            f"is not authorized to perform: iam:PassRole on resource: {given} "
            "because no identity-based policy allows the iam:PassRole action"
        )


def test_wrong_keys_and_unsigned_requests_are_refused(aws: Aws) -> None:
    wrong = Aws(aws.info, {"AccessKeyId": aws.info.access_key_id, "SecretAccessKey": "x" * 40})
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.sts.get_caller_identity()
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        wrong.lambda_.list_functions()
    unknown = Aws(aws.info, {"AccessKeyId": "AKIA" + "X" * 16, "SecretAccessKey": "x" * 40})
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        unknown.dynamodb.list_tables()


def test_presigned_urls_of_a_bucket_work_until_they_expire(aws: Aws) -> None:
    """boto3 signs with version 2 in us-east-1 by default; version 4 is tested, too."""
    bucket = unique("bucket")
    aws.s3.create_bucket(Bucket=bucket)
    mine = {"Action": "s3:*Object", "Effect": "Allow", "Resource": f"arn:aws:s3:::{bucket}/mine*"}
    version_4: S3Client = boto3.client(
        "s3",
        aws.info.region,
        endpoint_url=aws.info.endpoint,
        config=Config(signature_version="s3v4"),
        aws_access_key_id=aws.info.access_key_id,
        aws_secret_access_key=aws.info.secret_access_key,
    )

    def refusal(answer: httpx.Response) -> tuple[int, str, str]:
        found = re.search("<Code>(.*)</Code><Message>(.*?)</Message>", answer.text)
        return (
            (answer.status_code, found[1], found[2])
            if found is not None
            else (answer.status_code, "", answer.text)
        )

    for s3, parameter in (
        (aws.s3, "AWSAccessKeyId"),
        (aws.assume(aws.role(mine)).s3, "&x-amz-security-token"),
        (version_4, "X-Amz-Algorithm"),
    ):

        def url(
            operation: str, name: str = "mine a+b", expires: int = 60, s3: S3Client = s3
        ) -> str:
            return s3.generate_presigned_url(
                operation, Params={"Bucket": bucket, "Key": name}, ExpiresIn=expires
            )

        assert parameter in url("get_object")
        text = unique("text").encode()
        assert fetch("PUT", url("put_object"), content=text).status_code == 200
        assert fetch("GET", url("get_object")).content == text
        assert refusal(fetch("GET", url("get_object", expires=-1))) == (
            403,
            "AccessDenied",
            "Request has expired",
        )
        for changed in (url("get_object").replace("mine", "yours"), url("put_object")):
            assert refusal(fetch("GET", changed))[:2] == (403, "SignatureDoesNotMatch")
        if "security-token" in parameter:
            refused = refusal(fetch("GET", url("get_object", "yours")))
            assert refused[:2] == (403, "AccessDenied")
            assert (
                "is not authorized to perform: s3:GetObject on resource: "
                f"arn:aws:s3:::{bucket}/yours" in refused[2]
            )


def test_a_topic_invokes_its_subscribed_function_only_with_permission(aws: Aws) -> None:
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    replies = aws.sns.create_topic(Name=unique("replies"))["TopicArn"]
    table = unique("events")
    aws.dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    source = """
    import boto3, json, os
    def handler(event, context):
        boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"],
            Item={"pk": {"S": event["Records"][0]["Sns"]["Message"]},
                  "event": {"S": json.dumps(event)}})
    """
    write = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    permitted = aws.function(source, statements=[write], environment={"TABLE": table})
    aws.allow(permitted, "sns.amazonaws.com", topic)
    subscription = aws.sns.subscribe(
        TopicArn=topic, Protocol="lambda", Endpoint=permitted, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    aws.sns.subscribe(TopicArn=replies, Protocol="lambda", Endpoint=permitted)
    aws.sns.publish(TopicArn=replies, Message="not permitted")
    published = aws.sns.publish(
        TopicArn=topic,
        Message="hi",
        Subject="s",
        MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}},
    )
    eventually(lambda: "Item" in aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": "hi"}}))
    item = aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": "hi"}})["Item"]
    record = json.loads(item["event"]["S"])["Records"][0]
    assert record["EventSubscriptionArn"] == subscription
    assert record["Sns"]["TopicArn"] == topic
    assert record["Sns"]["MessageId"] == published["MessageId"]
    assert record["Sns"]["Subject"] == "s"
    assert record["Sns"]["MessageAttributes"] == {"a": {"Type": "String", "Value": "b"}}
    assert "Item" not in aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": "not permitted"}})


def test_aliases_and_versions_run_what_they_name(aws: Aws) -> None:
    arn = aws.function(
        "def handler(event, context):\n    return ['one', context.invoked_function_arn]\n"
    )
    aws.lambda_.publish_version(FunctionName=arn)
    aws.lambda_.create_alias(FunctionName=arn, Name="live", FunctionVersion="1")
    two = code("def handler(event, context):\n    return ['two', context.invoked_function_arn]\n")
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=two)
    answer = aws.lambda_.invoke(FunctionName=arn, Qualifier="live")
    assert json.loads(answer["Payload"].read()) == ["one", f"{arn}:live"]
    assert answer["ExecutedVersion"] == "1"
    name = arn.rpartition(":")[2]
    for named in (f"{arn}:live", f"{name}:live"):
        answer = aws.lambda_.invoke(FunctionName=named)
        assert json.loads(answer["Payload"].read()) == ["one", f"{arn}:live"]
    assert invoke(aws, arn) == ["two", arn]
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*aliases"):
        aws.lambda_.update_alias(
            FunctionName=arn,
            Name="live",
            RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}},
            FunctionVersion="1",
        )


def test_a_version_is_published_of_what_has_changed_and_its_number_is_never_used_again(
    aws: Aws,
) -> None:
    arn = aws.function(ECHO)
    first = aws.lambda_.publish_version(FunctionName=arn, Description="mine")
    assert (first["Version"], first["Description"]) == ("1", "mine")
    assert aws.lambda_.publish_version(FunctionName=arn)["Version"] == "1"
    aws.lambda_.update_function_configuration(FunctionName=arn, Timeout=9)
    with pytest.raises(ClientError, match=r"InvalidParameterValueException.*CodeSHA256"):
        aws.lambda_.publish_version(FunctionName=arn, CodeSha256="other")
    second = aws.lambda_.publish_version(FunctionName=arn, CodeSha256=first["CodeSha256"])
    assert (second["Version"], second["Timeout"]) == ("2", 9)
    aws.lambda_.create_alias(FunctionName=arn, Name="live", FunctionVersion="2")
    aliases = aws.lambda_.list_aliases(FunctionName=arn, FunctionVersion="1")["Aliases"]
    assert aliases == []
    with pytest.raises(ClientError, match=r"ResourceConflictException.*alias live"):
        aws.lambda_.delete_function(FunctionName=arn, Qualifier="2")
    aws.lambda_.delete_alias(FunctionName=arn, Name="live")
    aws.lambda_.delete_function(FunctionName=arn, Qualifier="2")
    assert aws.lambda_.publish_version(FunctionName=arn)["Version"] == "3"
    versions = aws.lambda_.list_versions_by_function(FunctionName=arn)["Versions"]
    assert [item["Version"] for item in versions] == ["$LATEST", "1", "3"]


def test_the_policy_of_a_version_lets_a_role_invoke_this_version_only(aws: Aws) -> None:
    arn = aws.function(ECHO)
    aws.lambda_.publish_version(FunctionName=arn)
    role = aws.role()
    permission: Any = {
        "FunctionName": arn,
        "StatementId": "mine",
        "Action": "lambda:InvokeFunction",
        "Principal": role,
        "Qualifier": "1",
    }
    aws.lambda_.add_permission(**permission)
    with pytest.raises(ClientError, match="ResourceConflictException"):
        aws.lambda_.add_permission(**permission)
    policy = json.loads(aws.lambda_.get_policy(FunctionName=arn, Qualifier="1")["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Resource"] == f"{arn}:1"
    assert statement["Principal"] == {"AWS": role}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.lambda_.get_policy(FunctionName=arn)
    aws.assume(role).lambda_.invoke(FunctionName=f"{arn}:1")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        aws.assume(role).lambda_.invoke(FunctionName=arn)
    aws.lambda_.remove_permission(FunctionName=arn, StatementId="mine", Qualifier="1")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        aws.assume(role).lambda_.invoke(FunctionName=f"{arn}:1")


def test_every_request_names_a_function_by_its_name_its_arn_or_a_part_of_it(aws: Aws) -> None:
    arn = aws.function(ECHO)
    name = arn.rpartition(":")[2]
    api = aws.lambda_
    api.publish_version(FunctionName=arn)
    for number, form in enumerate((name, arn, f"{aws.info.account_id}:function:{name}")):
        alias = f"live{number}"
        api.create_alias(FunctionName=form, Name=alias, FunctionVersion="1")
        assert api.get_alias(FunctionName=form, Name=alias)["AliasArn"] == f"{arn}:{alias}"
        found = api.get_function(FunctionName=form)["Configuration"]
        assert (found["FunctionName"], found["FunctionArn"]) == (name, arn)
        for qualifier in (alias, "1"):
            qualified = f"{form}:{qualifier}"
            found = api.get_function(FunctionName=qualified)["Configuration"]
            assert (found["FunctionName"], found["Version"]) == (name, "1")
            assert invoke(aws, qualified)["arn"] == f"{arn}:{qualifier}"
        aliases = api.list_aliases(FunctionName=form)["Aliases"]
        assert alias in {found["Name"] for found in aliases}
        versions = api.list_versions_by_function(FunctionName=form)["Versions"]
        assert [found["Version"] for found in versions] == ["$LATEST", "1"]
        api.put_function_concurrency(FunctionName=form, ReservedConcurrentExecutions=number + 1)
        reserved = api.get_function_concurrency(FunctionName=form)
        assert reserved["ReservedConcurrentExecutions"] == number + 1
        api.put_function_event_invoke_config(FunctionName=form, MaximumRetryAttempts=number % 2)
        settings = api.get_function_event_invoke_config(FunctionName=form)
        assert settings["MaximumRetryAttempts"] == number % 2
        changed = api.update_function_configuration(FunctionName=form, Description=form)
        assert changed["Description"] == form
    api.delete_function(FunctionName=f"{aws.info.account_id}:function:{name}")
    with pytest.raises(ClientError, match=r"ResourceNotFoundException"):
        api.get_function(FunctionName=name)


def test_what_names_no_function_is_refused(aws: Aws) -> None:
    arn = aws.function(ECHO)
    api = aws.lambda_
    elsewhere = arn.replace(aws.info.region, "eu-west-1")
    with pytest.raises(ClientError, match=r"ResourceNotFound.*Functions from 'eu-west-1' are not"):
        api.get_function(FunctionName=elsewhere)
    with pytest.raises(ClientError, match=r"ResourceNotFound.*Functions from 'eu-west-1' are not"):
        api.get_alias(FunctionName=elsewhere, Name="live")
    with pytest.raises(ClientError, match=r"ValidationException.*regular expression pattern"):
        api.get_function(FunctionName=f"{arn}:live:1")
    with pytest.raises(ClientError, match=r"ValidationException.*less than or equal to 64"):
        api.get_function_configuration(FunctionName="n" * 65)
    with pytest.raises(ClientError, match=r"ValidationException.*less than or equal to 64"):
        aws.function(ECHO, name="n" * 65)


def test_reserved_concurrency_of_zero_throttles(aws: Aws) -> None:
    arn = aws.function(ECHO)
    aws.lambda_.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        aws.lambda_.invoke(FunctionName=arn)


def test_the_log_is_in_cloudwatch_if_the_role_may_write_it(aws: Aws) -> None:
    source = "def handler(event, context):\n    print('a line')\n"
    written = aws.function(source)
    name = unique("mute")
    aws.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=aws.role(),
        Code={"ZipFile": code(source)},
    )
    for function in (written, name):
        aws.lambda_.invoke(FunctionName=function)
    eventually(lambda: any(line.startswith("REPORT") for line in logged(aws, written)))
    assert "a line" in logged(aws, written)
    assert aws.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"] == []


def test_log_events_of_several_streams_are_in_the_order_of_their_times(aws: Aws) -> None:
    group = unique("/team/log")
    aws.logs.create_log_group(logGroupName=group)
    now = int(time.time() * 1000)
    for stream, moments in {"one": (0, 3, 4), "two": (1, 2, 5)}.items():
        aws.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": now + moment, "message": str(moment)} for moment in moments]
        aws.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    pages = aws.logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, PaginationConfig={"PageSize": 4}
    )
    assert [[event["message"] for event in page["events"]] for page in pages] == [
        ["0", "1", "2", "3"],
        ["4", "5"],
    ]


def test_a_role_is_assumed_only_by_whom_it_trusts(aws: Aws) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = aws.iam.create_role(
        RoleName=unique("r"), AssumeRolePolicyDocument=json.dumps({"Statement": trust})
    )
    with pytest.raises(ClientError, match=r"AccessDenied.*sts:AssumeRole"):
        aws.assume(role["Role"]["Arn"])


def test_an_operation_that_is_not_emulated_says_so(aws: Aws) -> None:
    with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
        aws.lambda_.get_provisioned_concurrency_config(FunctionName="f", Qualifier="1")


MADE_UP: tuple[tuple[str, str, dict[str, object]], ...] = (
    # (service, operation, parameters): one for each protocol, and operations of services that also
    # have a control plane
    ("athena", "start_query_execution", {"QueryString": "SELECT 1"}),
    ("bedrock-runtime", "invoke_model", {"modelId": "anthropic.claude-v2:1", "body": b"{}"}),
    ("comprehend", "detect_sentiment", {"Text": "fine", "LanguageCode": "en"}),
    ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b""}),
    (
        "stepfunctions",
        "start_execution",
        {"stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:s"},
    ),
    ("textract", "detect_document_text", {"Document": {"Bytes": b"x"}}),
)
UNKNOWN: tuple[tuple[str, str, dict[str, object]], ...] = (
    (
        "translate",
        "translate_text",
        {"Text": "a", "SourceLanguageCode": "en", "TargetLanguageCode": "de"},
    ),  # CBOR
    ("kendra", "list_indices", {}),  # JSON
    ("connectcases", "list_domains", {}),  # REST
)


def test_services_that_moto_lacks_or_would_make_up_are_refused_in_their_own_protocol(
    aws: Aws,
) -> None:
    for refused, because in (
        (MADE_UP, "moto would make its answer up"),
        (UNKNOWN, "moto does not know this service"),
    ):
        for service, operation, parameters in refused:
            with pytest.raises(ClientError, match=f"NotEmulatedBySandbox.*{because}") as error:
                getattr(aws._client(service), operation)(**parameters)
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
        aws._client("bedrock-agent-runtime").retrieve(
            knowledgeBaseId="A" * 10, retrievalQuery={"text": "what"}
        )
    made = fetch("POST", aws.info.endpoint, headers=signed_headers(aws, "made-up"))
    assert (made.status_code, made.headers["x-amzn-errortype"]) == (501, "NotEmulatedBySandbox")
    with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
        aws.assume(aws.role())._client("polly").describe_voices()
    assert aws._client("athena").list_work_groups()["WorkGroups"]
    assert "Endpoints" in aws._client("sagemaker").list_endpoints()
    with pytest.raises(
        ClientError, match=r"AccessDenied.*not authorized to perform: translate:TranslateText"
    ):
        aws.assume(aws.role())._client("translate").translate_text(**UNKNOWN[0][2])


def signed_headers(aws: Aws, service: str) -> dict[str, str]:
    request = AWSRequest("POST", aws.info.endpoint)
    SigV4Auth(
        Credentials(aws.info.access_key_id, aws.info.secret_access_key), service, "us-east-1"
    ).add_auth(request)
    return dict(request.headers.items())


def test_the_code_of_a_function_can_be_downloaded_until_it_is_replaced(aws: Aws) -> None:
    arn = aws.function("def handler(event, context): return 1")
    answer = aws.lambda_.get_function(FunctionName=arn)
    location = answer["Code"]["Location"]

    downloaded = fetch("GET", location)

    digest = base64.b64encode(hashlib.sha256(downloaded.content).digest()).decode()
    assert digest == answer["Configuration"]["CodeSha256"]
    assert fetch("GET", f"{location[:-1]}-").status_code == 403
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=code("handler = print"))
    assert fetch("GET", location).status_code == 403
    assert aws.lambda_.get_function(FunctionName=arn)["Code"]["Location"] != location
