"""S3: buckets notify functions, queues and topics of objects that are created and removed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import secrets
from typing import Any, Final

from flask import has_request_context, request
from moto.iam.access_control import PermissionResult
from moto.s3 import notifications
from moto.s3.exceptions import InvalidArgumentError, S3ClientError
from moto.s3.models import FakeBucket, Notification, NotificationConfiguration, S3Backend

from terralive_sandbox.access import identity
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.functions.destinations import Service
from terralive_sandbox.places import Place
from terralive_sandbox.triggers import buckets
from terralive_sandbox.triggers.deliveries import Deliveries

_SERVICE: Final = "s3.amazonaws.com"
_NOTIFICATION_SUBJECT: Final = "Amazon S3 Notification"
_EMPTY_ETAG: Final = "d41d8cd98f00b204e9800998ecf8427e"
_CREDENTIAL: Final = re.compile(r"Credential=([^/,]+)/")
_EVENTS: Final = ("s3:ObjectCreated:", "s3:ObjectRemoved:")
_PERMISSION_RESULTS: Final = {
    Decision.ALLOWED: PermissionResult.PERMITTED,
    Decision.DENIED: PermissionResult.DENIED,
    Decision.NEUTRAL: PermissionResult.NEUTRAL,
}


def declare(replacements: Replacements, deliveries: Deliveries) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        deliveries: delivers notifications to functions, queues and topics.
    """
    _replace_notifications(replacements, _Notifier(deliveries))
    _replace_configuration(replacements, deliveries)
    _replace_permissions(replacements)


def _replace_notifications(replacements: Replacements, notifier: _Notifier) -> None:
    """Send notifications as S3 does.

    Moto does not notify functions, encodes slashes in keys, gives all events the same sequencer,
    and deletes versions without a notification.
    """
    moto_delete_object = S3Backend.delete_object

    def delete_object(
        self: S3Backend,
        bucket_name: str,
        key_name: str,
        version_id: str | None = None,
        **others: Any,
    ) -> tuple[bool, dict[str, Any]]:
        bucket = self.get_bucket(bucket_name)
        versions = {str(key.version_id) for key in bucket.keys.getlist(key_name, [])}
        deleted, meta = moto_delete_object(self, bucket_name, key_name, version_id, **others)
        if not deleted:
            return deleted, meta
        if not bucket.is_versioned:
            notifier.notify(bucket, "ObjectRemoved:Delete", key_name)
        elif version_id is None:
            event, version = "ObjectRemoved:DeleteMarkerCreated", meta["version-id"]
            notifier.notify(bucket, event, key_name, etag=_EMPTY_ETAG, version_id=version)
        elif str(version_id) in versions:
            notifier.notify(bucket, "ObjectRemoved:Delete", key_name, version_id=version_id)
        return deleted, meta

    replacements.replace(S3Backend, "delete_object", delete_object)
    replacements.replace(notifications, "send_event", notifier.send_event)


class _Notifier:
    """Sends S3's notifications. Use it on the thread that owns moto's state."""

    def __init__(self, deliveries: Deliveries) -> None:
        # Sends the notifications.
        self._deliveries = deliveries
        # The sequencer of the last event: microseconds since 1970, and always greater than before.
        self._sequencer = 0

    def send_event(self, account_id: str, event_name: str, bucket: FakeBucket, key: Any) -> None:
        """Replace moto's `send_event`.

        `delete_object` notifies of deletions, as it knows of versions.
        """
        del account_id
        event = str(getattr(event_name, "value", event_name)).removeprefix("s3:")
        if not event.startswith("ObjectCreated:"):
            return
        # Moto calls it a Put when the parts of an object are put together, too.
        if event == "ObjectCreated:Put" and has_request_context() and "uploadId" in request.args:
            return
        version = key.version_id if bucket.is_versioned else None
        etag = key.etag.strip('"')
        self.notify(bucket, event, key.name, size=key.size, etag=etag, version_id=version)

    def notify(self, bucket: FakeBucket, event: str, key: str, **details: Any) -> None:
        """Send an event to the destinations that the bucket's configuration has for it.

        `details` are the size, ETag and version of the object, as `buckets.Change` names them.
        """
        configuration = bucket.notification_configuration
        if configuration is None:
            return
        now = dt.datetime.now(dt.UTC)
        self._sequencer = max(self._sequencer + 1, int(now.timestamp() * 1_000_000))
        caller = _caller()
        principal = f"AWS:{caller.user_id}" if caller else "Anonymous"
        request_id, host_id = _request_ids()
        change = buckets.Change(
            event=event,
            bucket=bucket.name,
            region=bucket.region_name,
            key=key,
            time=now,
            sequencer=f"{self._sequencer:018X}",
            principal=principal,
            request_id=request_id,
            host_id=host_id,
            **details,
        )
        for entry in _entries(configuration):
            if entry.matches(f"s3:{event}", key):
                message = buckets.notification(change, entry.id)
                _send(self._deliveries, bucket, entry.arn, message)


def _entries(configuration: NotificationConfiguration) -> list[Notification]:
    return [*configuration.cloud_function, *configuration.queue, *configuration.topic]


def _send(deliveries: Deliveries, bucket: FakeBucket, arn: str, message: object) -> None:
    sender = Service(_SERVICE, bucket.arn, bucket.account_id)
    deliveries.send(sender, arn, json.dumps(message), subject=_NOTIFICATION_SUBJECT)


def _caller() -> identity.Caller | None:
    """Return the caller of the request that moto is answering."""
    if not has_request_context():
        return None
    access_key = request.args.get("X-Amz-Credential", "").partition("/")[0]
    found = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    if found:
        access_key = found[1]
    return identity.owner_of(access_key)


def _request_ids() -> tuple[str, str]:
    return secrets.token_hex(8).upper(), base64.b64encode(secrets.token_bytes(57)).decode()


def _replace_configuration(replacements: Replacements, deliveries: Deliveries) -> None:
    """Validate a bucket's notifications, and send queues and topics the test event.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
    """
    moto_set_configuration = FakeBucket.set_notification_configuration

    def set_configuration(self: FakeBucket, notification_config: dict[str, Any] | None) -> None:
        before = self.notification_configuration
        try:
            moto_set_configuration(self, notification_config)
        except Exception:
            self.notification_configuration = before
            raise

    def send_test_event(account_id: str, bucket: FakeBucket) -> None:
        """Replace moto's `send_test_event`, its last step of setting a configuration."""
        del account_id
        configuration = bucket.notification_configuration
        if configuration is None:
            return
        _validate(deliveries, bucket, configuration)
        now = dt.datetime.now(dt.UTC)
        for arn in sorted({entry.arn for entry in [*configuration.queue, *configuration.topic]}):
            message = buckets.trial_event(bucket.name, now, *_request_ids())
            _send(deliveries, bucket, arn, message)

    replacements.replace(FakeBucket, "set_notification_configuration", set_configuration)
    replacements.replace(notifications, "send_test_event", send_test_event)


def _validate(
    deliveries: Deliveries, bucket: FakeBucket, configuration: NotificationConfiguration
) -> None:
    """Raise the error of S3, or of the sandbox, for the first entry that is not possible."""
    if configuration.event_bridge is not None:
        message = "EventBridge as a destination (only functions, queues and topics are)"
        raise NotImplementedError(message)
    entries = _entries(configuration)
    for entry in entries:
        for event in entry.events:
            if not event.startswith(_EVENTS):
                raise NotImplementedError(f"notifications of {event}")
    if buckets.ambiguous([_filter(entry) for entry in entries]):
        message = (
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules "
            "if the prefixes are overlapping for the same event type."
        )
        raise InvalidArgumentError(message, "", "")
    sender = Service(_SERVICE, bucket.arn, bucket.account_id)
    for entry in entries:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-enable-disable-notification-intro.html
        if Place.of(entry.arn).region != bucket.region_name:
            message = (
                "The notification destination service region is not valid for the bucket location "
                "constraint"
            )
            raise InvalidArgumentError(message, entry.arn, "")
        error = deliveries.check(sender, entry.arn)
        if error is not None:
            message = "Unable to validate the following destination configurations"
            raise InvalidArgumentError(message, entry.arn, str(error))


def _filter(entry: Notification) -> buckets.Filter:
    ends: dict[str, str] = {}
    for rule in entry.filters.get("S3Key", {}).get("FilterRule", []):
        ends[rule["Name"].lower()] = rule["Value"]
    return buckets.Filter(tuple(entry.events), ends.get("prefix", ""), ends.get("suffix", ""))


def _replace_permissions(replacements: Replacements) -> None:
    """Evaluate conditions of bucket policies.

    In moto a condition that does not hold denies the request, so a policy that demands TLS would
    close the bucket. The sandbox's loopback port counts as TLS. Only denials of the policy matter
    here: the caller's own policies decide what is allowed.
    """

    def get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
        caller = _caller()
        principals: tuple[str, ...] = ("*",)
        if caller:
            principals = (caller.arn, caller.account, f"arn:aws:iam::{caller.account}:root")
        context = {
            "aws:SecureTransport": "true",
            "s3:TlsVersion": "1.3",
            "aws:PrincipalArn": principals[0],
        }
        document = (self.policy or b"{}").decode()
        decision = decide([document], AccessRequest(action, (resource,), principals, context))
        # The one POST that gets here is DeleteObjects, which answers for each key.
        if decision is Decision.DENIED and request.method != "POST":
            raise S3ClientError(
                "AccessDenied",
                f"User: {principals[0]} is not authorized to perform: {action} "
                f"on resource: {resource} with an explicit deny in a resource-based policy",
            )
        return _PERMISSION_RESULTS[decision]

    replacements.replace(FakeBucket, "get_permission", get_permission)
