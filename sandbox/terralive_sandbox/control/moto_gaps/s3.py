"""S3: buckets notify functions, queues and topics of objects that are created and removed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import secrets
from typing import Any

from flask import has_request_context, request
from moto.iam.access_control import PermissionResult
from moto.s3 import notifications
from moto.s3.exceptions import InvalidArgumentError, S3ClientError
from moto.s3.models import FakeBucket, Notification, NotificationConfiguration, S3Backend

from terralive_sandbox.access import identity
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.functions.destinations import Service
from terralive_sandbox.triggers import buckets
from terralive_sandbox.triggers.deliveries import Deliveries

_SERVICE = "s3.amazonaws.com"
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
_CREDENTIAL = re.compile(r"Credential=([^/,]+)/")


def buckets_notify(deliveries: Deliveries) -> None:
    """In moto functions get nothing, slashes are encoded, sequencers the same, and versions deleted without a word."""
    notifier = _Notifier(deliveries)
    delete_object = S3Backend.delete_object

    def deleted(
        self: S3Backend,
        bucket_name: str,
        key_name: str,
        version_id: str | None = None,
        **others: Any,
    ) -> tuple[bool, dict[str, Any]]:
        bucket = self.get_bucket(bucket_name)
        known = {str(key.version_id) for key in bucket.keys.getlist(key_name, [])}
        done, meta = delete_object(self, bucket_name, key_name, version_id, **others)
        if done and bucket.is_versioned and version_id is None:
            notifier.tell(
                bucket,
                "ObjectRemoved:DeleteMarkerCreated",
                key_name,
                etag=_EMPTY,
                version=meta["version-id"],
            )
        elif done and bucket.is_versioned and str(version_id) in known:
            notifier.tell(bucket, "ObjectRemoved:Delete", key_name, version=version_id)
        elif done and not bucket.is_versioned:
            notifier.tell(bucket, "ObjectRemoved:Delete", key_name)
        return done, meta

    S3Backend.delete_object = deleted  # type: ignore[assignment,method-assign] # the gap
    notifications.send_event = notifier.heard


class _Notifier:
    """Turns what moto tells of a change into what S3 sends. On the thread that owns moto's state."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._sequence = 0

    def heard(self, account_id: str, event_name: str, bucket: FakeBucket, key: Any) -> None:
        """Stands for moto's `send_event`.

        Deletions are told by `delete_object`, which knows of versions.
        """
        del account_id
        event = str(getattr(event_name, "value", event_name)).removeprefix("s3:")
        if not event.startswith("ObjectCreated:"):
            return
        # moto says Put of an object that comes in parts, too.
        if event == "ObjectCreated:Put" and has_request_context() and "uploadId" in request.args:
            return
        self.tell(
            bucket, event, key.name, size=key.size, etag=key.etag.strip('"'),
            version=key.version_id if bucket.is_versioned else None,
        )  # fmt: skip

    def tell(
        self, bucket: FakeBucket, event: str, key: str, *,
        size: int | None = None, etag: str | None = None, version: str | None = None,
    ) -> None:  # fmt: skip
        """Send it to whom the bucket's configuration names for it."""
        configuration = bucket.notification_configuration
        if configuration is None:
            return
        now = dt.datetime.now(dt.UTC)
        self._sequence = max(self._sequence + 1, int(now.timestamp() * 1_000_000))
        change = buckets.Change(
            event, bucket.name, bucket.region_name, key, now, f"{self._sequence:018X}", _principal(),
            *_request_ids(), size=size, etag=etag, version_id=version,
        )  # fmt: skip
        for told in _all(configuration):
            if told.matches(f"s3:{event}", key):
                _send(self._deliveries, bucket, told.arn, buckets.notification(change, told.id))


def _all(configuration: NotificationConfiguration) -> list[Notification]:
    return [*configuration.cloud_function, *configuration.queue, *configuration.topic]


def _send(deliveries: Deliveries, bucket: FakeBucket, arn: str, message: object) -> None:
    deliveries.send(
        Service(_SERVICE, bucket.arn), arn, json.dumps(message), subject="Amazon S3 Notification"
    )


def _caller() -> identity.Caller | None:
    """Who made the request that moto is answering."""
    if not has_request_context():
        return None
    found = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    return identity.owner_of(
        found[1] if found else request.args.get("X-Amz-Credential", "").partition("/")[0]
    )


def _principal() -> str:
    caller = _caller()
    return f"AWS:{caller.user_id}" if caller else "Anonymous"


def _request_ids() -> tuple[str, str]:
    return secrets.token_hex(8).upper(), base64.b64encode(secrets.token_bytes(57)).decode()


def destinations_are_validated(deliveries: Deliveries) -> None:
    """What PutBucketNotificationConfiguration refuses, and the test event that queues and topics get."""
    put = FakeBucket.set_notification_configuration

    def configure(self: FakeBucket, notification_config: dict[str, Any] | None) -> None:
        before = self.notification_configuration
        try:
            put(self, notification_config)
        except Exception:
            self.notification_configuration = before
            raise

    def validate_and_try(account_id: str, bucket: FakeBucket) -> None:
        """Stands for moto's `send_test_event`, the last step of a configuration."""
        del account_id
        configuration = bucket.notification_configuration
        if configuration is not None:
            _validate(deliveries, bucket, configuration)
            now = dt.datetime.now(dt.UTC)
            for arn in sorted({told.arn for told in (*configuration.queue, *configuration.topic)}):
                _send(
                    deliveries, bucket, arn, buckets.trial_event(bucket.name, now, *_request_ids())
                )

    FakeBucket.set_notification_configuration = configure  # type: ignore[method-assign] # the gap
    notifications.send_test_event = validate_and_try


def _validate(
    deliveries: Deliveries, bucket: FakeBucket, configuration: NotificationConfiguration
) -> None:
    if configuration.event_bridge is not None:
        raise NotImplementedError(
            "EventBridge as a destination (only functions, queues and topics are)"
        )
    told = _all(configuration)
    for event in (event for one in told for event in one.events):
        if not event.startswith(("s3:ObjectCreated:", "s3:ObjectRemoved:")):
            raise NotImplementedError(f"notifications of {event}")
    if buckets.ambiguous([_filter(one) for one in told]):
        raise InvalidArgumentError(
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes "
            "are overlapping for the same event type.", "", ""
        )  # fmt: skip
    for one in told:
        if refused := deliveries.refusal(Service(_SERVICE, bucket.arn), one.arn):
            message = "Unable to validate the following destination configurations"
            raise InvalidArgumentError(message, one.arn, str(refused))


def _filter(told: Notification) -> buckets.Filter:
    ends = {
        rule["Name"].lower(): rule["Value"]
        for rule in told.filters.get("S3Key", {}).get("FilterRule", [])
    }
    return buckets.Filter(tuple(told.events), ends.get("prefix", ""), ends.get("suffix", ""))


def bucket_policies_have_conditions() -> None:
    """In moto a condition that does not hold refuses, so that a policy that wants TLS would close the bucket.

    The sandbox's loopback port counts as TLS. Only refusals matter: who may is decided by the
    caller's own policies.
    """

    def get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
        caller = _caller()
        names = (
            (caller.arn, caller.account, f"arn:aws:iam::{caller.account}:root")
            if caller
            else ("*",)
        )
        context = {
            "aws:SecureTransport": "true",
            "s3:TlsVersion": "1.3",
            "aws:PrincipalArn": names[0],
        }
        decision = decide(
            [(self.policy or b"{}").decode()], AccessRequest(action, (resource,), names, context)
        )
        if (
            decision is Decision.DENIED and request.method != "POST"
        ):  # DeleteObjects, which answers for each key
            raise S3ClientError(
                "AccessDenied",
                f"User: {names[0]} is not authorized to perform: {action} on resource: {resource} "
                "with an explicit deny in a resource-based policy",
            )
        return _RESULTS[decision]

    FakeBucket.get_permission = get_permission  # type: ignore[method-assign] # the gap


_RESULTS = {
    Decision.ALLOWED: PermissionResult.PERMITTED,
    Decision.DENIED: PermissionResult.DENIED,
    Decision.NEUTRAL: PermissionResult.NEUTRAL,
}
