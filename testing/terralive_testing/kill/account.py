"""Everything in a sandbox's account, for comparison: resources by kind and name, and their content.

What changes by itself, or says nothing about what a function does, is left out: times, ids of
revisions, and the description of a version of which AWS keeps no other trace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from terralive_testing.drivers.project import Project

Content = Mapping[str, Any]
_SETTINGS: Final = (
    "CodeSha256",
    "Description",
    "Environment",
    "Handler",
    "ImageConfigResponse",
    "Layers",
    "MemorySize",
    "PackageType",
    "Role",
    "Runtime",
    "Timeout",
)


def content(project: Project) -> dict[str, Content]:
    """Return the resources in the account: `function kill-work` -> what it is like."""
    found: dict[str, Content] = {}
    for kind, items in (
        ("function", _functions(project)),
        ("role", _roles(project)),
        ("policy", _policies(project)),
        ("API", _apis(project)),
        ("table", _named(project.client("dynamodb").list_tables()["TableNames"])),
        ("bucket", _buckets(project)),
        ("log group", _log_groups(project)),
        ("queue", _named(project.client("sqs").list_queues().get("QueueUrls", []))),
        ("topic", _topics(project)),
        ("event source", _event_sources(project)),
        ("repository", _repositories(project)),
    ):
        found.update({f"{kind} {name}": value for name, value in items})
    return found


def delete(project: Project, *, kind: str, name: str) -> None:
    """Delete a resource, as a user does it by hand.

    Args:
        project: the project.
        kind: its type in Terraform.
        name: its id for an import.
    """
    match kind:
        case "aws_iam_role":
            iam = project.client("iam")
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)
        case "aws_iam_role_policy":
            role, _, policy = name.partition(":")
            project.client("iam").delete_role_policy(RoleName=role, PolicyName=policy)
        case "aws_lambda_function":
            project.client("lambda").delete_function(FunctionName=name)
        case "aws_cloudwatch_log_group":
            project.client("logs").delete_log_group(logGroupName=name)
        case "aws_sqs_queue":
            project.client("sqs").delete_queue(QueueUrl=name)
        case "aws_s3_bucket":
            project.client("s3").delete_bucket(Bucket=name)
        case _:
            raise AssertionError(f"nobody has said how to delete {kind} {name}")


def differences(before: Mapping[str, Content], after: Mapping[str, Content]) -> list[str]:
    """Return what differs between two contents, one line each."""
    lines: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            lines.append(f"{name} is gone")
        elif name not in before:
            lines.append(f"{name} is left")
        elif before[name] != after[name]:
            names = before[name].keys() | after[name].keys()
            lines += [
                f"{name}: {part}: {before[name].get(part)} -> {after[name].get(part)}"
                for part in sorted(names)
                if before[name].get(part) != after[name].get(part)
            ]
    return lines


def _named(names: list[str]) -> Iterator[tuple[str, Content]]:
    for name in names:
        yield name, {}


def _functions(project: Project) -> Iterator[tuple[str, Content]]:
    client = project.client("lambda")
    pages = client.get_paginator("list_functions").paginate().build_full_result()
    for item in pages["Functions"]:
        name = item["FunctionName"]
        versions = client.list_versions_by_function(FunctionName=name)["Versions"]
        aliases = client.list_aliases(FunctionName=name)["Aliases"]
        pointing = {alias["Name"]: alias["FunctionVersion"] for alias in aliases}
        qualifiers = [version["Version"] for version in versions] + list(pointing)
        yield (
            name,
            {
                **{setting: item.get(setting) for setting in _SETTINGS},
                "code of versions": {
                    version["Version"]: version["CodeSha256"] for version in versions
                },
                "aliases": pointing,
                "policies": {each: _policy(project, name, each) for each in qualifiers},
                "concurrency": client.get_function_concurrency(FunctionName=name).get(
                    "ReservedConcurrentExecutions"
                ),
            },
        )


def _policy(project: Project, function: str, qualifier: str) -> object:
    """Return the statements of a function's resource policy; None for no policy."""
    client = project.client("lambda")
    arguments = {"FunctionName": function}
    if qualifier != "$LATEST":
        arguments["Qualifier"] = qualifier
    try:
        policy = client.get_policy(**arguments)["Policy"]
    except client.exceptions.ResourceNotFoundException:
        return None
    return json.loads(policy)["Statement"]


def _roles(project: Project) -> Iterator[tuple[str, Content]]:
    iam = project.client("iam")
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        yield (
            name,
            {
                "trust": role["AssumeRolePolicyDocument"],
                "inline": {
                    policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                    for policy in inline
                },
                "attached": sorted(policy["PolicyArn"] for policy in attached),
            },
        )


def _policies(project: Project) -> Iterator[tuple[str, Content]]:
    for policy in project.client("iam").list_policies(Scope="Local")["Policies"]:
        yield policy["PolicyName"], {}


def _apis(project: Project) -> Iterator[tuple[str, Content]]:
    for api in project.client("apigatewayv2").get_apis()["Items"]:
        yield f"{api['Name']} ({api['ApiId']})", {}


def _buckets(project: Project) -> Iterator[tuple[str, Content]]:
    s3 = project.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        objects = s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
        yield bucket["Name"], {"objects": sorted(item["Key"] for item in objects)}


def _log_groups(project: Project) -> Iterator[tuple[str, Content]]:
    for group in project.client("logs").describe_log_groups()["logGroups"]:
        yield group["logGroupName"], {}


def _topics(project: Project) -> Iterator[tuple[str, Content]]:
    for topic in project.client("sns").list_topics()["Topics"]:
        yield topic["TopicArn"], {}


def _event_sources(project: Project) -> Iterator[tuple[str, Content]]:
    for mapping in project.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
        yield mapping["UUID"], {"from": mapping["EventSourceArn"], "to": mapping["FunctionArn"]}


def _repositories(project: Project) -> Iterator[tuple[str, Content]]:
    for repository in project.client("ecr").describe_repositories()["repositories"]:
        yield repository["repositoryName"], {}
