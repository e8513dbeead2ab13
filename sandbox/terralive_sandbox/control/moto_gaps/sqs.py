"""SQS.

What moto's queues lack when several threads and Lambda's pollers use them, and attributes that they
forget.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import time
from collections.abc import Callable
from threading import Condition, RLock
from typing import Any

from moto.sqs import models
from moto.sqs.exceptions import MissingParameter, SQSException
from moto.sqs.models import Message, Queue, SQSBackend

_DEDUPLICATION_MILLISECONDS = 300_000
# moto looks for messages whose delay or visibility timeout has ended once a second while it waits.
_LOOK_AGAIN_SECONDS = 1.0
_NOT_ALLOWED = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Guards every queue: a receive moves messages to another queue, so one lock a queue could deadlock.
_STATE = RLock()


def queues_are_safe_and_tell(arrived: Callable[[str], None]) -> None:
    """Without a lock moto loses and repeats messages.

    `arrived` hears which queue has something to receive.
    """
    create, change, delete = (
        Queue.__init__,
        SQSBackend.change_message_visibility,
        Queue.delete_message,
    )
    purge = SQSBackend.purge_queue

    def initialise(self: Queue, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        self._messages_lock = Condition(_STATE)

    def add_message(self: Queue, message: Message) -> None:
        with self._messages_lock:
            if self.fifo_queue and not _is_new(self, message):
                return
            self._messages.append(message)
            self._messages_lock.notify_all()
        arrived(self.queue_arn)

    def change_message_visibility(
        self: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        with _STATE:
            change(self, queue_name, receipt_handle, visibility_timeout)
        arrived(self.get_queue(queue_name).queue_arn)

    def delete_message(self: Queue, receipt_handle: str) -> None:
        with _STATE:
            delete(self, receipt_handle)
        if self.fifo_queue:  # its group may go on
            arrived(self.queue_arn)

    def purge_queue(self: SQSBackend, queue_name: str) -> None:
        with _STATE:
            purge(self, queue_name)

    Queue.__init__ = initialise  # type: ignore[method-assign] # the gap
    Queue.add_message = add_message  # type: ignore[method-assign] # the gap
    Queue.delete_message = delete_message  # type: ignore[method-assign] # the gap
    SQSBackend.change_message_visibility = change_message_visibility  # type: ignore[method-assign] # the gap
    SQSBackend.purge_queue = purge_queue  # type: ignore[method-assign] # the gap
    _receive_one_at_a_time()


def long_queues_stay_fast() -> None:
    """Let the time be cheap.

    Moto asks for it once a message of a queue, and several times a message that is sent.
    """

    def unix_time_millis(at: dt.datetime | None = None) -> float:
        return time.time() * 1000 if at is None else at.timestamp() * 1000

    models.unix_time_millis = unix_time_millis  # type: ignore[assignment,attr-defined] # the gap


def queues_keep_their_attributes() -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html.

    A policy goes only where it is set to nothing (moto drops it with any other attribute that is
    set), and RedriveAllowPolicy is an attribute too. Terraform takes moto's blanks in a redrive
    policy for a difference.
    """
    set_attributes, attributes = Queue._set_attributes, vars(Queue)["attributes"].fget  # noqa: SLF001 - the gap
    Queue.BASE_ATTRIBUTES.append("RedriveAllowPolicy")
    Queue.redrive_allow_policy = None  # type: ignore[attr-defined] # the gap

    def keep(self: Queue, changes: dict[str, Any], now: float | None = None) -> None:
        kept = {"Policy": self.policy} if "_policy_json" in vars(self) else {}
        set_attributes(self, {**kept, **changes}, now)

    def described(self: Queue) -> dict[str, Any]:
        found: dict[str, Any] = attributes(self)
        if self.redrive_policy:
            found["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
        return {
            name: value for name, value in found.items() if name != "RedriveAllowPolicy" or value
        }

    Queue._set_attributes = keep  # type: ignore[assignment,method-assign] # noqa: SLF001 - the gap
    Queue.attributes = property(described)  # type: ignore[assignment,method-assign] # the gap


def messages_have_a_body() -> None:
    """Of text, as https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html has it.

    In a batch such a message fails alone: botocore's model has no such error of the whole.
    """
    validate, send_batch = SQSBackend._validate_message, SQSBackend.send_message_batch  # noqa: SLF001 - the gap

    def checked(
        self: SQSBackend,
        queue: Queue,
        message_body: str,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not message_body:
            raise MissingParameter("MessageBody")
        if fault := _fault(message_body):
            raise fault
        validate(self, queue, message_body, *args, **kwargs)

    def batch(
        self: SQSBackend, queue_name: str, entries: dict[str, dict[str, Any]]
    ) -> tuple[list[Message], list[dict[str, Any]]]:
        faults = {
            key: fault for key, entry in entries.items() if (fault := _fault(entry["MessageBody"]))
        }
        rest = {key: entry for key, entry in entries.items() if key not in faults}
        sent, failed = send_batch(self, queue_name, rest)
        alone = [
            {
                "Id": entries[key]["Id"],
                "SenderFault": True,
                "Code": fault.code,
                "Message": fault.message,
            }
            for key, fault in faults.items()
        ]
        return sent, [*failed, *alone]

    SQSBackend._validate_message = checked  # type: ignore[method-assign] # noqa: SLF001 - the gap
    SQSBackend.send_message_batch = batch  # type: ignore[method-assign] # the gap


def _fault(body: str) -> SQSException | None:
    found = _NOT_ALLOWED.search(body)
    if found is None:
        return None
    message = (
        f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, the set of allowed "
        "characters is #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]"
    )
    return SQSException("InvalidMessageContents", message)


def _receive_one_at_a_time() -> None:
    receive = SQSBackend.receive_message

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
                # Otherwise the second of two messages of a group that come back together would be
                # received first.
                queue._pending_messages = {m for m in queue._pending_messages if not m.visible}  # noqa: SLF001
                found = receive(
                    self, queue_name, count, 0, visibility_timeout, message_attribute_names
                )
                left = end - time.monotonic()
                if found or left <= 0:
                    return found
                queue._messages_lock.wait(min(left, _LOOK_AGAIN_SECONDS))  # noqa: SLF001

    SQSBackend.receive_message = receive_message  # type: ignore[method-assign] # the gap


_SEQUENCE = itertools.count(18_849_496_460_467_696_128, 256)


def _is_new(queue: Queue, message: Message) -> bool:
    """A FIFO queue numbers its messages upwards, and remembers a deduplication id for five minutes, deleted or not.

    moto numbers at random, and only where a deduplication id is given; it forgets an id with its
    message.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-key-terms.html
    """
    if message.approximate_receive_count:
        return True  # moved here as a dead letter
    message.sequence_number = str(next(_SEQUENCE))
    sent = int(message.sent_timestamp or 0)
    by_group = getattr(queue, "deduplication_scope", "queue") == "messageGroup"
    key = (message.group_id if by_group else None, message.deduplication_id)
    seen: dict[tuple[str | None, str | None], int] = vars(queue).setdefault(
        "terralive_deduplicated", {}
    )
    if key in seen and sent - seen[key] < _DEDUPLICATION_MILLISECONDS:
        return False
    seen[key] = sent
    return True
