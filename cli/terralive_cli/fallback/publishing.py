"""Publishes the real code of one function, lets its role invoke it, and records the version.

It runs immediately before an apply puts the stub in the function's place. A function that is taken
from another stage has such a version already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.fallback import versions
from terralive_cli.fallback.candidates import Candidate
from terralive_cli.fallback.decision import Action, Decision, decide
from terralive_cli.fallback.published import Published, stage_of
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import text
from terralive_terraform.output.refusals import missing_actions
from terralive_terraform.substitution.marker import StageName

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

    from terralive_stub.broker.aws import DynamoDBTable

_log: Final = logging.getLogger("terralive.cli")
BOUNDARY: Final = "the permissions boundary of its role may not allow lambda:InvokeFunction on it"


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is to be done for one function that carries no stub.

    Attributes:
        candidate: the function.
        arn: its ARN.
        client: the client of Lambda for its account and region.
        stage: the stage.
        table: the stage's table.
        is_bounded: whether a permissions boundary keeps its role from invoking a version.
    """

    candidate: Candidate
    arn: str
    client: LambdaClient
    stage: StageName
    table: DynamoDBTable
    is_bounded: bool

    def done(self) -> str:
        """Publish, permit and record. Return the reason why there is no fallback; "" for none.

        What the plan's page has said already is no such reason.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            known = versions.published(self.client, self.arn)
            decision = decide(self.candidate.choice, self.candidate.declared, known, self.stage)
            if decision.action is Action.NONE:
                _log.debug("%s gets no fallback: %s", self.arn, decision.reason)
                return ""
            if decision.action is Action.PUBLISH:
                decision = self._published(known, decision)
        except (BotoCoreError, ClientError) as error:
            return refusal(error)
        return self._recorded(known, decision)

    def _published(self, known: Published, decision: Decision) -> Decision:
        version = versions.publish(self.client, self.arn, known.latest, self.stage)
        # Lambda may know better that nothing has changed since somebody has published a version.
        existing = known.version(version)
        made = existing is None or stage_of(existing) == self.stage
        _log.debug("version %s of %s has its code", version, self.arn)
        return replace(decision, version=version, made=made)

    def _recorded(self, known: Published, decision: Decision) -> str:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        reason, unforeseen = decision.reason, ""
        if not reason and self.is_bounded:
            reason = BOUNDARY
        if not reason:
            reason = unforeseen = self._permitted(known, decision.version, self.candidate.aliases)
        record = Replaced(
            function=self.arn,
            version=decision.version,
            code_sha256=text(known.latest, "CodeSha256"),
            made=decision.made,
            aliases=self.candidate.aliases,
            can_answer=not reason,
            reason=reason,
        )
        try:
            self.table.put_replaced(record)
        except (BotoCoreError, ClientError) as error:
            unforeseen = refusal(error)
            self._delete([decision.version] if decision.made else [])
            return unforeseen
        # Those of former starts, which another deployment has made useless.
        self._delete([item for item in known.made_for(self.stage) if item != decision.version])
        return unforeseen

    def taken(self, held: Replaced) -> str:
        """Record what the stub of another stage has replaced, as what this stage's stub replaces.

        The record of that stage stays. It may take the function back.

        Args:
            held: the record of that stage, with whether this stage's stub may invoke the version.

        Returns:
            The reason why there is no fallback; "" for none, and where the version is gone.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            known = versions.published(self.client, self.arn)
            version = known.version(held.version)
            if version is None or text(version, "CodeSha256") != held.code_sha256:
                _log.debug("version %s of %s is not what the record says", held.version, self.arn)
                return ""
            reason = unforeseen = ""
            if held.can_answer:
                reason = unforeseen = self._permitted(known, held.version, held.aliases)
            can_answer = held.can_answer and not reason
            record = replace(held, can_answer=can_answer, reason=held.reason or reason)
            self.table.put_replaced(record)
        except (BotoCoreError, ClientError) as error:
            return refusal(error)
        return unforeseen

    def _permitted(self, known: Published, version: str, aliases: Mapping[str, str]) -> str:
        """Let the function's role invoke the versions; return the reason why it may not."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        # A function that gets another role invokes with that one.
        role = self.candidate.declared.role or text(known.latest, "Role")
        try:
            for number in sorted({version, *aliases.values()}):
                versions.allow(self.client, self.arn, number, role, self.stage)
        except (BotoCoreError, ClientError) as error:
            return refusal(error)
        return ""

    def _delete(self, numbers: Iterable[str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        for number in numbers:
            try:
                versions.delete(self.client, self.arn, number)
            except (BotoCoreError, ClientError) as error:
                _log.debug("version %s of %s stays: %s", number, self.arn, error)


def refusal(error: Exception) -> str:
    """Return AWS's refusal as a reason that several functions may share."""
    actions = missing_actions(str(error))
    if actions:
        return f"your identity lacks the permission {', '.join(actions)}"
    response: Any = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Message") or error).rstrip(".")
