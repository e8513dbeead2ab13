"""A debug stack that exists already: used as it is, taken into the state here, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from terralive_cli.joining.decision import Project
from terralive_cli.joining.description import StackDescription, from_item, to_item
from terralive_cli.joining.look import Existing, look
from terralive_stub.errors import ConfigurationError, StageHeldError
from terralive_terraform.debug_stack import adoption
from terralive_terraform.debug_stack.adoption import Resource
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.output.state import ResourceInstance

SETTINGS = DebugStackSettings(
    "orders", "dev-ana", "eu-west-1", "ben", "2026-02-02", "0.2.0", source="github.com/acme/orders"
)
NAME = "terralive-orders-dev-ana"
PROJECT = Project(
    app="orders",
    stage="dev-ana",
    source="github.com/acme/orders",
    version="0.2.0",
    protocol=2,
    wishes={"log_retention_days": 7, "kms_key": None},
    place="account 123456789012, eu-west-1",
)
DESCRIPTION = StackDescription(
    app="orders",
    stage="dev-ana",
    source="github.com/acme/orders",
    owner="ana",
    created="2026-01-01",
    version="0.2.0",
    protocol=2,
    wishes={"log_retention_days": 7, "kms_key": None},
    outputs={"relay_url": "wss://api1.execute-api.eu-west-1.amazonaws.com/relay"},
)
API = Resource("aws_apigatewayv2_api.api", adoption.API, {"name": NAME}, is_counted=False)
BROKER = Resource(
    "aws_lambda_function.broker",
    adoption.FUNCTION,
    {"function_name": f"{NAME}-broker"},
    is_counted=False,
)
TAGS = SETTINGS.all_tags()


@dataclass
class Account:
    """An account with these resources (name -> id), tags and description."""

    described: StackDescription | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[Mapping[str, str]] = ()
    reserved: int | None = None
    tables: list[str] = field(default_factory=list)

    def description(self, table: str) -> StackDescription | None:
        self.tables.append(table)
        return self.described

    def id_of(self, kind: str, name: str) -> str:
        del kind
        return self.ids.get(name, "")

    def parts_of(self, kind: str, outer: str) -> Mapping[str, str]:
        del kind, outer
        return {}


def looked(
    account: Account,
    project: Project = PROJECT,
    instances: Mapping[str, ResourceInstance] | None = None,
    *,
    joins: bool = True,
) -> Existing:
    return look(project, SETTINGS, (API, BROKER), instances or {}, account, joins=joins)


def in_state(api: str, *, broker: bool = True) -> dict[str, ResourceInstance]:
    instances = {API.address: ResourceInstance(API.address, API.type, {"id": api})}
    if broker:
        instances[BROKER.address] = ResourceInstance(
            BROKER.address,
            BROKER.type,
            {"id": f"{NAME}-broker", "reserved_concurrent_executions": 20},
        )
    return instances


def test_a_description_is_read_as_it_was_written() -> None:
    assert from_item(to_item(DESCRIPTION)) == DESCRIPTION
    assert from_item({}).outputs == {}


def test_nothing_exists_in_an_empty_account() -> None:
    account = Account()
    assert looked(account) == Existing(None)
    assert account.tables == [f"{NAME}-connections"]


def test_another_checkout_of_the_project_uses_the_debug_stack_as_it_is() -> None:
    existing = looked(Account(DESCRIPTION))
    assert existing.is_joined
    assert existing.description == DESCRIPTION
    assert existing.imports == ()


def test_another_version_with_the_same_protocol_uses_it_too() -> None:
    assert looked(Account(replace(DESCRIPTION, version="0.1.0"))).is_joined


def test_other_settings_of_the_same_version_are_applied_to_it() -> None:
    found = replace(DESCRIPTION, wishes={"log_retention_days": 14, "kms_key": None})
    account = Account(found, {NAME: "api1", f"{NAME}-broker": f"{NAME}-broker"}, [TAGS])
    existing = looked(account)
    assert not existing.is_joined
    assert [item.id for item in existing.imports] == ["api1", f"{NAME}-broker"]


def test_a_debug_stack_without_a_repository_gets_one_where_functions_are_images() -> None:
    needs = replace(PROJECT, needs_images=True)
    account = Account(DESCRIPTION, {NAME: "api1", f"{NAME}-broker": f"{NAME}-broker"}, [TAGS])
    assert not looked(account, needs).is_joined
    repository = {
        "image_repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/terralive-stub"
    }
    with_images = replace(DESCRIPTION, outputs={**DESCRIPTION.outputs, **repository})
    assert looked(Account(with_images), needs).is_joined
    # Those whose functions are zips use it as it is.
    assert looked(Account(with_images)).is_joined
    with pytest.raises(StageHeldError, match="no repository for container images"):
        looked(Account(replace(DESCRIPTION, version="0.1.0")), needs)


def test_other_settings_of_another_version_are_refused_with_owner_and_version() -> None:
    found = replace(DESCRIPTION, version="0.1.0", wishes={"log_retention_days": 14})
    with pytest.raises(StageHeldError) as caught:
        looked(Account(found))
    assert caught.value.reference == "debug-stack-differs"
    for part in ("ana", "0.1.0", "0.2.0", "log_retention_days", "2026-01-01"):
        assert part in caught.value.message, part


def test_another_protocol_is_refused_with_owner_and_version() -> None:
    with pytest.raises(ConfigurationError) as caught:
        looked(Account(replace(DESCRIPTION, version="0.1.0", protocol=1)))
    assert caught.value.reference == "debug-stack-version"
    for part in ("ana", "0.1.0", "protocol 1", "speaks 2"):
        assert part in caught.value.message, part


@pytest.mark.parametrize("joins", [True, False], ids=["start", "destroy"])
@pytest.mark.parametrize(
    "other",
    [
        {"source": "github.com/acme/billing"},
        {"source": "github.com/acme/orders//infra"},
        {"app": "orders-dev", "stage": "ana"},
    ],
)
def test_the_debug_stack_of_another_repository_is_neither_used_nor_removed(
    other: dict[str, str], *, joins: bool
) -> None:
    found = replace(DESCRIPTION, **other)  # type: ignore[arg-type]  # texts only
    with pytest.raises(StageHeldError) as caught:
        looked(Account(found), joins=joins)
    assert caught.value.reference == "debug-stack-of-another-source"
    for part in ("ana", "0.2.0", found.source, found.app, found.stage, PROJECT.source):
        assert part in caught.value.message, part


@pytest.mark.parametrize("joins", [True, False], ids=["start", "destroy"])
def test_another_repositorys_half_of_a_debug_stack_is_told_by_its_tags(*, joins: bool) -> None:
    tags = {**TAGS, "terralive:source": "github.com/acme/billing", "terralive:owner": "eve"}
    account = Account(None, {f"{NAME}-broker": f"{NAME}-broker"}, [tags])
    with pytest.raises(StageHeldError, match=r"billing.*eve on 2026-02-02 with terralive 0\.2\.0"):
        looked(account, joins=joins)


def test_something_of_that_name_that_is_not_terralives_is_left_alone() -> None:
    account = Account(None, {f"{NAME}-broker": f"{NAME}-broker"}, [{"team": "orders"}])
    with pytest.raises(StageHeldError) as caught:
        looked(account)
    assert caught.value.reference == "debug-stack-name-taken"


def test_what_an_interrupted_apply_has_made_is_imported() -> None:
    account = Account(None, {f"{NAME}-broker": f"{NAME}-broker"}, [TAGS], reserved=20)
    existing = looked(account)
    assert [item.address for item in existing.imports] == [BROKER.address]
    assert (existing.has_broker, existing.reserved) == (True, 20)


def test_the_whole_debug_stack_is_imported_before_it_is_destroyed_without_its_state() -> None:
    account = Account(
        replace(DESCRIPTION, protocol=1),
        {NAME: "api1", f"{NAME}-broker": f"{NAME}-broker"},
        [TAGS, TAGS],
    )
    existing = looked(account, joins=False)
    assert len(existing.imports) == 2


def test_a_complete_state_needs_no_search() -> None:
    account = Account(DESCRIPTION, {NAME: "another"})
    existing = looked(account, instances=in_state("api1"))
    assert existing == Existing(DESCRIPTION, in_state=True, has_broker=True, reserved=20)


def test_what_the_state_lacks_is_imported() -> None:
    account = Account(None, {f"{NAME}-broker": f"{NAME}-broker"}, [TAGS])
    existing = looked(account, instances=in_state("api1", broker=False))
    assert [item.address for item in existing.imports] == [BROKER.address]
    assert existing.in_state


def test_a_second_api_that_was_made_at_the_same_moment_never_takes_over_the_first_broker() -> None:
    account = Account(DESCRIPTION, {f"{NAME}-broker": f"{NAME}-broker"}, [TAGS])
    existing = looked(account, instances=in_state("api2", broker=False))
    assert existing.of_another_state
    assert existing.imports == ()
