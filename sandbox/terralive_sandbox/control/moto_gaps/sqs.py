"""SQS: queues that several threads use at once, and attributes and checks that moto lacks."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, RLock
from typing import Any, Final

from moto.sqs import models
from moto.sqs.exceptions import MissingParameter, SQSException
from moto.sqs.models import Message, Queue, SQSBackend

from terralive_sandbox.control.moto_gaps.replacements import Replacements

_DEDUPLICATION_MILLISECONDS: Final = 300_000
# Moto has no timer for messages whose delay or visibility timeout ends: a receive that waits looks
# for them at this interval.
_LOOK_AGAIN_SECONDS: Final = 1.0
_NOT_ALLOWED: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Guards the messages of all queues: a receive moves messages to another queue, so a lock for each
# queue could deadlock.
_STATE: Final = RLock()
# Sequence numbers of FIFO queues. They only have to grow; the first looks like one of AWS.
_SEQUENCE_NUMBERS: Final = itertools.count(18_849_496_460_467_696_128, 256)


@dataclass(frozen=True, slots=True)
class _DeduplicationKey:
    """The properties by which a FIFO queue recognises a duplicate of a message."""

    # None where the whole queue deduplicates, not each message group.
    group_id: str | None
    deduplication_id: str | None


def declare(replacements: Replacements, arrived: Callable[[str], None]) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        arrived: called with the ARN of a queue that may have something to receive.
    """
    _replace_changes_of_messages(replacements, arrived)
    _replace_receive(replacements)
    _replace_clock(replacements)
    _replace_attributes(replacements)
    _replace_checks_of_messages(replacements)


def _replace_changes_of_messages(
    replacements: Replacements, arrived: Callable[[str], None]
) -> None:
    """Change messages under one lock. Without it moto loses and repeats messages."""
    moto_init = Queue.__init__
    moto_delete_message = Queue.delete_message
    moto_change_visibility = SQSBackend.change_message_visibility
    moto_purge_queue = SQSBackend.purge_queue

    def initialise(self: Queue, *args: Any, **kwargs: Any) -> None:
        moto_init(self, *args, **kwargs)
        self._messages_lock = Condition(_STATE)

    def add_message(self: Queue, message: Message) -> None:
        with self._messages_lock:
            if self.fifo_queue and not _is_new(self, message):
                return
            self._messages.append(message)
            self._messages_lock.notify_all()
        arrived(self.queue_arn)

    def delete_message(self: Queue, receipt_handle: str) -> None:
        with _STATE:
            moto_delete_message(self, receipt_handle)
        if self.fifo_queue:  # the next message of the group can be received now
            arrived(self.queue_arn)

    def change_message_visibility(
        self: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        with _STATE:
            moto_change_visibility(self, queue_name, receipt_handle, visibility_timeout)
        arrived(self.get_queue(queue_name).queue_arn)

    def purge_queue(self: SQSBackend, queue_name: str) -> None:
        with _STATE:
            moto_purge_queue(self, queue_name)

    replacements.replace(Queue, "__init__", initialise)
    replacements.replace(Queue, "add_message", add_message)
    replacements.replace(Queue, "delete_message", delete_message)
    replacements.replace(SQSBackend, "change_message_visibility", change_message_visibility)
    replacements.replace(SQSBackend, "purge_queue", purge_queue)


def _is_new(queue: Queue, message: Message) -> bool:
    """Give a message of a FIFO queue its sequence number; return False for a duplicate.

    A FIFO queue numbers its messages upwards and remembers a deduplication id for five minutes,
    whether its message is deleted or not. Moto numbers at random, only where a deduplication id is
    given, and forgets an id with its message.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-key-terms.html
    """
    if message.approximate_receive_count:
        return True  # moved here as a dead letter
    message.sequence_number = str(next(_SEQUENCE_NUMBERS))
    sent_at = int(message.sent_timestamp or 0)
    by_group = getattr(queue, "deduplication_scope", "queue") == "messageGroup"
    group_id = message.group_id if by_group else None
    key = _DeduplicationKey(group_id, message.deduplication_id)
    # Key -> when its message was sent, in milliseconds.
    seen: dict[_DeduplicationKey, int] = vars(queue).setdefault("terralive_deduplicated", {})
    if key in seen and sent_at - seen[key] < _DEDUPLICATION_MILLISECONDS:
        return False
    seen[key] = sent_at
    return True


def _replace_receive(replacements: Replacements) -> None:
    """Let one receive at a time look at the messages, and wait without holding the lock."""
    moto_receive_message = SQSBackend.receive_message

    # The function waits instead of moto, whose own waiting would keep the lock.
    def receive_message(  # noqa: PLR0917 - moto's signature
        self: SQSBackend,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        end = time.monotonic() + wait_seconds_timeout
        with _STATE:
            while True:
                queue = self.get_queue(queue_name)
                # Otherwise the second of two messages of a group that become visible together
                # would be received first.
                pending = queue._pending_messages  # noqa: SLF001 - moto has no other way
                pending -= {message for message in pending if message.visible}
                found = moto_receive_message(
                    self, queue_name, count, 0, visibility_timeout, message_attribute_names
                )
                left = end - time.monotonic()
                if found or left <= 0:
                    return found
                wait = min(left, _LOOK_AGAIN_SECONDS)
                queue._messages_lock.wait(wait)  # noqa: SLF001 - the Condition of `initialise`

    replacements.replace(SQSBackend, "receive_message", receive_message)


def _replace_clock(replacements: Replacements) -> None:
    """Read the time cheaply.

    Moto reads it once for each message of a queue, and several times for each message that is
    sent, so long queues become slow.
    """

    def unix_time_millis(at: dt.datetime | None = None) -> float:
        if at is None:
            return time.time() * 1000
        return at.timestamp() * 1000

    replacements.replace(models, "unix_time_millis", unix_time_millis)


def _replace_attributes(replacements: Replacements) -> None:
    """Keep the attributes of queues as they were set.

    A policy is removed only where it is set to nothing (moto drops it when any other attribute is
    set), and RedriveAllowPolicy is an attribute too. Terraform takes the blanks that moto writes
    into a redrive policy for a difference.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    """
    moto_set_attributes = Queue._set_attributes  # noqa: SLF001 - replaced below
    moto_attributes = vars(Queue)["attributes"].fget

    def set_attributes(self: Queue, changes: dict[str, Any], now: float | None = None) -> None:
        if "_policy_json" in vars(self):
            changes = {"Policy": self.policy, **changes}
        moto_set_attributes(self, changes, now)

    def attributes(self: Queue) -> dict[str, Any]:
        found: dict[str, Any] = moto_attributes(self)
        if self.redrive_policy:
            found["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
        if not found.get("RedriveAllowPolicy"):
            found.pop("RedriveAllowPolicy", None)
        return found

    # A new list: another order of the services must not change moto's own.
    names = [*Queue.BASE_ATTRIBUTES, "RedriveAllowPolicy"]
    replacements.replace(Queue, "BASE_ATTRIBUTES", names)
    replacements.add(Queue, "redrive_allow_policy", None)
    replacements.replace(Queue, "_set_attributes", set_attributes)
    replacements.replace(Queue, "attributes", property(attributes))


def _replace_checks_of_messages(replacements: Replacements) -> None:
    """Check that every message has a body of characters that SQS allows.

    In a batch such a message fails alone: botocore's model has no such error of the whole batch.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    moto_validate_message = SQSBackend._validate_message  # noqa: SLF001 - replaced below
    moto_send_message_batch = SQSBackend.send_message_batch

    def validate_message(
        self: SQSBackend, queue: Queue, message_body: str, *args: Any, **kwargs: Any
    ) -> None:
        if not message_body:
            raise MissingParameter("MessageBody")
        error = _body_error(message_body)
        if error is not None:
            raise error
        moto_validate_message(self, queue, message_body, *args, **kwargs)

    def send_message_batch(
        self: SQSBackend, queue_name: str, entries: dict[str, dict[str, Any]]
    ) -> tuple[list[Message], list[dict[str, Any]]]:
        valid: dict[str, dict[str, Any]] = {}
        invalid: list[dict[str, Any]] = []
        for key, entry in entries.items():
            error = _body_error(entry["MessageBody"])
            if error is None:
                valid[key] = entry
                continue
            described = {"Code": error.code, "Message": error.message}
            invalid.append({"Id": entry["Id"], "SenderFault": True, **described})
        sent, failed = moto_send_message_batch(self, queue_name, valid)
        return sent, [*failed, *invalid]

    replacements.replace(SQSBackend, "_validate_message", validate_message)
    replacements.replace(SQSBackend, "send_message_batch", send_message_batch)


def _body_error(body: str) -> SQSException | None:
    """Return SQS's error for the first character that is not allowed in a message."""
    found = _NOT_ALLOWED.search(body)
    if found is None:
        return None
    message = (
        f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, "
        "the set of allowed characters is #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | "
        "[#x10000-#x10FFFF]"
    )
    return SQSException("InvalidMessageContents", message)
