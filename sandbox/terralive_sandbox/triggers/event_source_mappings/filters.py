"""FilterCriteria: which records of a queue or stream a function gets. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from terralive_sandbox.triggers.event_patterns import patterns


class InvalidFilterError(ValueError):
    """A filter's pattern is none."""


@dataclass(frozen=True, slots=True)
class Filters:
    """A mapping's filters.

    A record that any of them matches passes, and every record passes no filters at all.
    """

    patterns: tuple[patterns.Pattern, ...] = ()

    @classmethod
    def parse(cls, criteria: Mapping[str, object]) -> Filters:
        """Raises InvalidFilterError. `criteria` is the API's FilterCriteria."""
        filters = criteria.get("Filters")
        parsed = []
        for one in filters if isinstance(filters, list) else []:
            try:
                parsed.append(patterns.parse(str(one["Pattern"]) if isinstance(one, dict) else ""))
            except (KeyError, patterns.InvalidPatternError) as error:
                raise InvalidFilterError(f"{error}") from error
        return cls(tuple(parsed))

    def passes(self, record: Mapping[str, object]) -> bool:
        """Whether the function gets a record, given as it would stand in the event.

        Of a message's body, a pattern with fields describes a JSON body only, one with values a
        plain string only. The page does not say what a body is that is JSON but no object; it
        passes for a plain string here.
        """
        if not self.patterns:
            return True
        if "body" not in record:
            return any(patterns.matches(pattern, record) for pattern in self.patterns)
        body = _parsed(record.get("body"))
        readable = {**record, "body": body}
        return any(
            patterns.matches(pattern, readable)
            for pattern in self.patterns
            if not any(
                name == "body" and isinstance(expected, patterns.Values) == isinstance(body, dict)
                for name, expected in pattern.fields
            )
        )


def _parsed(body: object) -> object:
    try:
        parsed = json.loads(str(body))
    except ValueError:
        return body
    return parsed if isinstance(parsed, dict) else body
