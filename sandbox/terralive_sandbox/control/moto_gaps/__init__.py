"""Where moto's services fall short of what Terraform and the data planes need: one place, applied once at start.

A module a service. Each gap names what AWS does and the page that says so. Nothing here copies
moto's code; it replaces or wraps.
"""

from __future__ import annotations

from collections.abc import Callable

from moto.core.config import default_user_config

from terralive_sandbox.control.moto_gaps import (
    apigateway,
    apigatewayv2,
    dynamodb,
    events,
    function_rules,
    function_settings,
    function_urls,
    functions,
    iam,
    mappings,
    s3,
    sns,
    sqs,
)
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers


def configure() -> None:
    """Before any of moto's state exists.

    AWS's own managed policies can be attached (moto leaves them out).
    """
    default_user_config.setdefault("iam", {})["load_aws_managed_policies"] = True


def apply(
    deliveries: Deliveries, schedules_changed: Callable[[], None], pollers: MappingPollers
) -> None:
    """Close the gaps.

    Args:
        deliveries: hands on what happens, at once.
        schedules_changed: wakes the clock.
        pollers: run event source mappings.
    """
    sns.topics_invoke_functions(deliveries)
    sns.fifo_topics_take_queues_only()
    events.patterns_match_as_in_aws()
    events.put_events_reaches_targets(deliveries)
    events.targets_are_checked()
    events.schedules_are_checked(schedules_changed)
    events.others_say_that_they_are_missing()
    s3.buckets_notify(deliveries)
    s3.destinations_are_validated(deliveries)
    s3.bucket_policies_have_conditions()
    functions.other_triggers_say_that_they_are_missing()
    functions.functions_take_every_update()
    functions.images_have_settings()
    functions.functions_have_dead_letter_queues()
    functions.destinations_are_checked()
    functions.aliases_have_one_version()
    function_urls.apply()
    function_settings.functions_say_how_they_are_set()
    function_settings.event_invoke_configs_change_and_are_listed()
    function_rules.functions_are_checked()
    iam.roles_keep_what_an_update_leaves_out()
    apigatewayv2.apply()
    apigateway.apply()
    sqs.queues_are_safe_and_tell(pollers.arrived)
    sqs.long_queues_stay_fast()
    sqs.queues_keep_their_attributes()
    sqs.messages_have_a_body()
    dynamodb.streams_are_as_documented(pollers.arrived)
    mappings.queues_and_streams_have_mappings(pollers)
