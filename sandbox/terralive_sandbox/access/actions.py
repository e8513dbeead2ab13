"""IAM actions and resources that a request to an AWS service needs. No I/O.

The service authorization reference names them
(https://docs.aws.amazon.com/service-authorization/latest/reference/). For services without a rule
here, the action is the operation's name, and any Resource of a policy matches. Action names compare
in any case; here they are spelled as the service itself spells them in an error
(`sqs:sendmessage`, `SNS:Publish`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from terralive_sandbox.access import protocols
from terralive_sandbox.access.calls import Call, any_resource, named_resource, pass_role
from terralive_sandbox.access.policy import AccessRequest
from terralive_sandbox.access.s3_actions import s3_access
from terralive_sandbox.access.sigv4 import Request, Signed
from terralive_sandbox.function_names import FunctionName
from terralive_sandbox.places import Place
from terralive_stub.shared.json_documents import items, parse_object, section

# Operations of DynamoDB's transactions -> their actions.
_TRANSACTION_ACTIONS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_ACCOUNT_ID: Final = re.compile(r"\d{12}")
# Paths of Lambda's API after their date.
_FUNCTION_PATH: Final = re.compile(r"/[0-9-]+/functions/([^/]+)")
_MAPPING_PATH: Final = re.compile(r"/[0-9-]+/event-source-mappings/([^/]*)")
_TAGS_PATH: Final = re.compile(r"/[0-9-]+/tags/([^/]+)")
# Paths of EventBridge Scheduler's API that name one resource.
_SCHEDULER_PATH: Final = re.compile(r"/(?P<kind>schedules|schedule-groups)/(?P<name>[^/]+)")

_Rule: TypeAlias = Callable[[Call], list[AccessRequest]]


def required_access(
    request: Request,
    signed: Signed,
    account: str,
    rest_operation: str | None,
    role_named: Callable[[str], str] = lambda _: "",
) -> list[AccessRequest]:
    """Return every access that a request needs. All of them have to be allowed.

    Args:
        request: the request as it was received.
        signed: its signature's parts, verified.
        account: the caller's account.
        rest_operation: the operation's name, for services whose protocol carries it in method and
            path.
        role_named: returns the ARN of the role with a name, "" where there is none.
    """
    document: Mapping[str, object] = {}
    if protocols.is_json_rpc(request):
        document = parse_object(request.body)
    call = Call(
        request=request,
        service=signed.service,
        region=signed.region,
        operation=rest_operation or protocols.operation_of(request) or "Unknown",
        document=document,
        fields=document or protocols.form_fields(request),
        arn_prefix=f"arn:aws:{signed.service}:{signed.region}:{account}:",
        account=account,
        role_named=role_named,
    )
    return _RULES.get(call.service, any_resource)(call)


def _apigateway(call: Call) -> list[AccessRequest]:
    path = unquote(call.request.path)
    if path.startswith("/v2/"):
        path = path.removeprefix("/v2")
    arn = f"arn:aws:apigateway:{call.region}::{path}"
    return [AccessRequest(f"apigateway:{call.request.method}", (arn,))]


def _dynamodb(call: Call) -> list[AccessRequest]:
    if call.operation in {"TransactWriteItems", "TransactGetItems"}:
        return _dynamodb_transaction(call)
    batch = call.document.get("RequestItems")
    if isinstance(batch, dict):
        return [_table_access(call, call.operation, table) for table in batch]
    stream = call.document.get("StreamArn") or call.document.get("ShardIterator")
    if stream:
        arn = str(stream).partition("|")[0]
        return named_resource(call, arn)
    table = call.document.get("TableName") or call.document.get("ResourceArn")
    if table is None:
        return any_resource(call)
    access = _table_access(call, call.operation, table)
    index = call.document.get("IndexName")
    if index:
        return [AccessRequest(access.action, (f"{access.resources[0]}/index/{index}",))]
    return [access]


def _dynamodb_transaction(call: Call) -> list[AccessRequest]:
    needed: list[AccessRequest] = []
    for item in items(call.document, "TransactItems"):
        if not isinstance(item, dict):
            continue
        for kind, entry in item.items():
            if isinstance(entry, dict):
                action = _TRANSACTION_ACTIONS.get(str(kind), "GetItem")
                needed.append(_table_access(call, action, entry.get("TableName")))
    return needed


def _table_access(call: Call, action: str, table: object) -> AccessRequest:
    """Return access to a table, which a request names by its name or its ARN."""
    return AccessRequest(f"dynamodb:{action}", (_arn(call, "table", str(table)),))


def _events(call: Call) -> list[AccessRequest]:
    resources = _events_resources(call)
    needed = [AccessRequest(f"events:{call.operation}", (arn,)) for arn in sorted(resources)]
    needed = needed or any_resource(call)
    roles: set[str] = set()
    if call.operation == "PutTargets":
        for target in items(call.document, "Targets"):
            if isinstance(target, dict) and target.get("RoleArn"):
                roles.add(str(target["RoleArn"]))
    return [*needed, *pass_role("events", roles)]


def _events_resources(call: Call) -> set[str]:
    """Return the buses, or the rule, that a request to EventBridge names.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    """
    document = call.document
    entries = document.get("Entries")
    if call.operation == "PutEvents" and isinstance(entries, list):
        buses = [entry.get("EventBusName") for entry in entries if isinstance(entry, dict)]
        return {_bus_arn(call, bus) for bus in buses}
    if document.get("ResourceARN"):
        return {str(document["ResourceARN"])}
    rule = document.get("Rule")
    if not rule and call.operation.endswith("Rule"):
        rule = document.get("Name")
    if rule:
        bus = _bus_arn(call, document.get("EventBusName")).rpartition("event-bus/")[2]
        path = str(rule) if bus == "default" else f"{bus}/{rule}"
        return {f"{call.arn_prefix}rule/{path}"}
    if call.operation.endswith(("EventBus", "Permission")):
        return {_bus_arn(call, document.get("Name") or document.get("EventBusName"))}
    return set()


def _bus_arn(call: Call, name: object) -> str:
    """Return the ARN of an event bus, which a request names by its name, its ARN or not at all."""
    return _arn(call, "event-bus", str(name or "default"))


def _arn(call: Call, kind: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"{call.arn_prefix}{kind}/{name}"


def _iam(call: Call) -> list[AccessRequest]:
    """Return access to a role. A request names it without its path, which is part of its ARN."""
    name = call.field("RoleName")
    if not name:
        return any_resource(call)
    arn = call.role_named(name)
    if call.operation == "CreateRole":
        arn = f"arn:aws:iam::{call.account}:role{call.field('Path') or '/'}{name}"
    elif not arn:
        arn = f"arn:aws:iam::{call.account}:role/{name}"
    return named_resource(call, arn)


def _lambda(call: Call) -> list[AccessRequest]:
    operation = call.operation
    if operation in {"Invoke", "InvokeWithResponseStream"}:
        operation = "InvokeFunction"
    needed = [AccessRequest(f"lambda:{operation}", _lambda_arns(call))]
    body: Mapping[str, object] = {}
    if operation in {"CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration"}:
        body = parse_object(call.request.body)
    role = body.get("Role")
    if role:
        needed += pass_role("lambda", {str(role)})
    # Lambda reads code from S3 as the caller:
    # https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
    code = section(body, "Code") or body
    if code.get("S3Bucket"):
        arn = f"arn:aws:s3:::{code['S3Bucket']}/{code.get('S3Key', '')}"
        needed.append(AccessRequest("s3:GetObject", (arn,)))
    return needed


def _lambda_arns(call: Call) -> tuple[str, ...]:
    path = call.request.path
    function = _FUNCTION_PATH.match(path)
    if function:
        return (_function_arn(call, unquote(function[1])),)
    mapping = _MAPPING_PATH.match(path)
    if mapping:
        if mapping[1]:
            return (f"{call.arn_prefix}event-source-mapping:{mapping[1]}",)
        return ("*",)
    tags = _TAGS_PATH.match(path)
    if tags:
        return (unquote(tags[1]),)
    return ()


def _function_arn(call: Call, name: str) -> str:
    """Return the ARN of a function, which a path names by its name, a partial ARN or its ARN."""
    found = FunctionName.parse(name)
    if found is None:
        return f"{call.arn_prefix}function:{name}"
    arn = found.arn(Place(call.account, call.region))
    qualifier = dict(call.request.parameters()).get("Qualifier")
    if qualifier and found.qualifier is None:
        return f"{arn}:{qualifier}"
    return arn


def _logs(call: Call) -> list[AccessRequest]:
    group = call.field("logGroupName")
    if not group:
        return any_resource(call)
    arn = f"{call.arn_prefix}log-group:{group}"
    stream = call.field("logStreamName")
    # Policies name a group with and without a colon at its end.
    last = f"{arn}:log-stream:{stream}" if stream else f"{arn}:"
    return [AccessRequest(call.action, (arn, last))]


def _secretsmanager(call: Call) -> list[AccessRequest]:
    secret = call.field("SecretId", "Name")
    if secret and not secret.startswith("arn:"):
        # Moto, too, ends the ARNs of secrets with six random characters.
        secret = f"{call.arn_prefix}secret:{secret}-AbCdEf"
    return named_resource(call, secret)


def _sns(call: Call) -> list[AccessRequest]:
    arn = call.field("TopicArn", "TargetArn", "ResourceArn")
    if not arn:
        arn = call.field("SubscriptionArn").rpartition(":")[0]
    name = call.field("Name")
    if not arn and name:
        arn = f"{call.arn_prefix}{name}"
    return named_resource(call, arn)


def _sqs(call: Call) -> list[AccessRequest]:
    # A batch needs the action that one message needs.
    action = f"sqs:{call.operation.removesuffix('Batch').lower()}"
    # A queue's URL ends with its owner's account and its name.
    path, _, name = call.field("QueueUrl", "QueueName").rpartition("/")
    account = path.rpartition("/")[2] or call.field("QueueOwnerAWSAccountId")
    if not name:
        return [AccessRequest(action)]
    prefix = call.arn_prefix
    if _ACCOUNT_ID.fullmatch(account):
        prefix = f"arn:aws:sqs:{call.region}:{account}:"
    return [AccessRequest(action, (f"{prefix}{name}",))]


def _ssm(call: Call) -> list[AccessRequest]:
    name = call.field("Name", "Path")
    if not name:
        return any_resource(call)
    return named_resource(call, f"{call.arn_prefix}parameter/{name.lstrip('/')}")


def _scheduler(call: Call) -> list[AccessRequest]:
    """Return what a request to EventBridge Scheduler needs.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html
    """
    document = parse_object(call.request.body)
    found = _SCHEDULER_PATH.fullmatch(unquote(call.request.path))
    needed = any_resource(call)
    if found is not None and found["kind"] == "schedule-groups":
        needed = named_resource(call, f"{call.arn_prefix}schedule-group/{found['name']}")
    elif found is not None:
        query = dict(parse_qsl(call.request.query))
        group = document.get("GroupName") or query.get("groupName") or "default"
        needed = named_resource(call, f"{call.arn_prefix}schedule/{group}/{found['name']}")
    role = section(document, "Target").get("RoleArn")
    if role and call.operation in {"CreateSchedule", "UpdateSchedule"}:
        needed += pass_role("scheduler", {str(role)})
    return needed


def _sts(call: Call) -> list[AccessRequest]:
    if call.operation == "GetCallerIdentity":
        return []
    context: dict[str, str] = {}
    # Conditions that trust policies demand
    # (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html).
    for key in ("ExternalId", "RoleSessionName"):
        value = call.field(key)
        if value:
            context[f"sts:{key}"] = value
    role = call.field("RoleArn")
    resources = (role,) if role else ()
    return [AccessRequest(call.action, resources, context=context)]


# The service's name in signatures -> its rule.
_RULES: Final[Mapping[str, _Rule]] = {
    "apigateway": _apigateway,
    "dynamodb": _dynamodb,
    "events": _events,
    "iam": _iam,
    "lambda": _lambda,
    "logs": _logs,
    "s3": s3_access,
    "scheduler": _scheduler,
    "secretsmanager": _secretsmanager,
    "sns": _sns,
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}
