"""Resources of an app that exist and that its state lacks, in the sandbox: found with their ids."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import boto3
import pytest

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import Caller
from terralive_cli.orphans.look import Found, Located, Look
from terralive_cli.orphans.search import Search, is_left
from terralive_cli.orphans.texts import exists, explain, left
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import TerraformError
from terralive_terraform.debug_stack.adoption import Import
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.output.new_resources import NewResource
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.sandbox import Aws, unique

OWN = StageName("orders", "dev-ana")
SEND = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [SEND]})
POLLS = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def accounts(sandbox: SandboxInfo) -> Accounts:
    session = boto3.Session(
        sandbox.access_key_id, sandbox.secret_access_key, region_name=sandbox.region
    )
    account = sandbox.account_id
    return Accounts(
        Caller(
            account=account,
            arn=f"arn:aws:iam::{account}:user/ana",
            region=sandbox.region,
            credentials=lambda: pytest.fail("nobody asks for credentials"),
            session=session,
            endpoint_url=sandbox.endpoint,
        )
    )


@pytest.fixture(scope="module")
def search(sandbox: SandboxInfo, accounts: Accounts) -> Search:
    return Search(accounts, [AwsProvider(Path("main.tf"))], sandbox.region, "aws")


def new(kind: str, name: str, outer: str = "", optional: str = "") -> NewResource:
    return NewResource(f"{kind}.it", kind, name, outer, optional)


def in_sandbox(info: SandboxInfo, resource: NewResource) -> Located:
    return Located(resource, info.account_id, info.region, "aws")


def test_each_kind_of_resource_is_found_with_the_id_that_the_provider_imports_it_by(
    aws: Aws, sandbox: SandboxInfo, search: Search
) -> None:
    name = unique("orphan")
    lambda_, iam, account = aws.lambda_, aws.iam, sandbox.account_id
    queue = aws.sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:{sandbox.region}:{account}:{name}"
    topic = aws.sns.create_topic(Name=name)["TopicArn"]
    aws.s3.create_bucket(Bucket=name)
    aws.logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
    aws.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    aws.role(name=name)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=DOCUMENT)
    policy = iam.create_policy(PolicyName=name, Path="/team/", PolicyDocument=DOCUMENT)["Policy"][
        "Arn"
    ]
    function = aws.function("def handler(event, context): pass", statements=[POLLS]).rpartition(
        ":"
    )[2]
    lambda_.update_function_configuration(FunctionName=function, Description=live_description(OWN))
    version = lambda_.publish_version(FunctionName=function)["Version"]
    lambda_.create_alias(FunctionName=function, Name="live", FunctionVersion=version)
    for qualifier in ({}, {"Qualifier": "live"}):
        lambda_.add_permission(
            FunctionName=function,
            StatementId="sns",
            Action="lambda:InvokeFunction",
            Principal="sns.amazonaws.com",
            **qualifier,  # type: ignore[arg-type]
        )
    lambda_.create_function_url_config(FunctionName=function, AuthType="NONE")
    mapping = lambda_.create_event_source_mapping(
        FunctionName=function, EventSourceArn=queue_arn, Enabled=False
    )["UUID"]
    api = aws.apis.create_api(Name=name, ProtocolType="HTTP")["ApiId"]

    resources = {
        new("aws_sqs_queue", name): queue,
        new("aws_sns_topic", name): topic,
        new("aws_s3_bucket", name): name,
        new("aws_cloudwatch_log_group", f"/aws/lambda/{name}"): f"/aws/lambda/{name}",
        new("aws_dynamodb_table", name): name,
        new("aws_iam_role", name): name,
        new("aws_iam_role_policy", "own", name): f"{name}:own",
        new("aws_iam_policy", name, "", "/team/"): policy,
        new("aws_lambda_function", function): function,
        new("aws_lambda_alias", "live", function): f"{function}/live",
        new("aws_lambda_permission", "sns", function): f"{function}/sns",
        new("aws_lambda_permission", "sns", function, "live"): f"{function}:live/sns",
        new("aws_lambda_function_url", "", function): function,
        new("aws_lambda_event_source_mapping", queue_arn, function): mapping,
        new("aws_apigatewayv2_api", name): api,
    }
    since = time.time()
    found = search.find(resources, since)
    assert [item.id for item in found] == list(resources.values())
    # What says when it was created, or for whom it is live, is certainly this stage's.
    unknown = {item.type for item in found if not is_left(item, OWN, since)}
    assert unknown == {
        "aws_sns_topic",
        "aws_s3_bucket",
        "aws_iam_role_policy",
        "aws_lambda_alias",
        "aws_lambda_permission",
        "aws_lambda_event_source_mapping",
    }
    (stub,) = (item for item in found if item.type == "aws_lambda_function")
    assert is_left(stub, OWN, None)
    assert not is_left(stub, StageName("orders", "dev-ben"), None)
    # An API is another one's where no deployment was interrupted, or two have its name.
    api_alone = [new("aws_apigatewayv2_api", name)]
    assert search.find(api_alone) == ()
    assert search.find(api_alone, since + 3600) == ()
    aws.apis.create_api(Name=name, ProtocolType="HTTP")
    assert search.find(api_alone, since) == ()


@pytest.mark.parametrize(
    "resource",
    [
        new("aws_sqs_queue", "none-here"),
        new("aws_sns_topic", "none-here"),
        new("aws_s3_bucket", "none-here"),
        new("aws_cloudwatch_log_group", "none-here"),
        new("aws_dynamodb_table", "none-here"),
        new("aws_iam_role", "none-here"),
        new("aws_iam_role_policy", "own", "none-here"),
        new("aws_iam_policy", "none-here"),
        new("aws_lambda_function", "none-here"),
        new("aws_lambda_alias", "live", "none-here"),
        new("aws_lambda_permission", "sns", "none-here"),
        new("aws_lambda_function_url", "", "none-here"),
        new("aws_lambda_event_source_mapping", "arn:aws:sqs:us-east-1:1:q", "none-here"),
        new("aws_apigatewayv2_api", "none-here"),
    ],
    ids=lambda resource: resource.type,
)
def test_what_does_not_exist_is_not_found(
    accounts: Accounts, sandbox: SandboxInfo, resource: NewResource
) -> None:
    assert Look(accounts).find(in_sandbox(sandbox, resource)) is None


def test_it_is_looked_for_where_its_provider_works(aws: Aws, search: Search) -> None:
    name = unique("far")
    aws.in_region("eu-central-1").sqs.create_queue(QueueName=name)
    queue = dataclasses.replace(new("aws_sqs_queue", name), provider="aws.far")
    far = AwsProvider(Path("main.tf"), alias="far", region="eu-central-1")
    computed = dataclasses.replace(far, region=None)
    foreign = dataclasses.replace(far, role_arn=None)
    providers = [AwsProvider(Path("main.tf"))]
    assert search.find([queue]) == (), "no provider is known"
    for provider, is_found in ((far, True), (computed, False), (foreign, False)):
        at = dataclasses.replace(search, providers=[*providers, provider])
        assert bool(at.find([queue])) is is_found
    near = dataclasses.replace(search, providers=providers)
    assert near.find([dataclasses.replace(queue, provider="aws")]) == ()
    own_region = dataclasses.replace(queue, provider="aws", region="eu-central-1")
    assert len(near.find([own_region])) == 1


def test_the_texts_have_blocks_to_paste_and_say_what_to_do() -> None:
    found = [Found("aws_iam_role.it", "aws_iam_role", "orders")]
    block = 'import {\n  to = aws_iam_role.it\n  id = "orders"\n}'
    before = exists(found, is_program=False)
    assert block in before.message
    assert "*.tf" in before.hint
    assert "import_from(ID)" in exists(found, is_program=True).hint
    destroyed = left(found, [], "--stage dev-ana", is_program=False)
    assert block in destroyed.message
    assert "does not tell since when" not in destroyed.message
    assert "terralive apply --stage dev-ana" in destroyed.hint
    # That apply asks for all that exists.
    policy = Found("aws_iam_role_policy.it", "aws_iam_role_policy", "orders:own")
    both = left(found, [policy], "--stage dev-ana", is_program=False).message
    assert both.index(block) < both.index("does not tell since when") < both.index('"orders:own"')

    error = TerraformError("resource-exists", "terraform apply failed.", hint="What stays.")
    explain(error, [], is_program=False)
    assert (error.message, error.hint) == ("terraform apply failed.", "What stays.")
    explain(error, found, is_program=False)
    assert error.message.endswith(block)
    assert error.hint.startswith("What stays. ")
    assert found[0].import_ == Import("aws_iam_role.it", "orders")
