"""Event filters: the records of a queue or stream that a function gets. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from terralive_sandbox.triggers.event_patterns import patterns
from terralive_stub.shared.json_documents import items


@dataclass(frozen=True, slots=True)
class Filters:
    """A mapping's filters.

    A record passes if it matches any of the patterns. Without patterns every record passes.
    """

    patterns: tuple[patterns.Pattern, ...] = ()

    @classmethod
    def parse(cls, criteria: Mapping[str, object]) -> Filters:
        """Read the API's FilterCriteria. Raises InvalidPatternError."""
        return cls(tuple(_parse_filter(one) for one in items(criteria, "Filters")))

    def passes(self, record: Mapping[str, object]) -> bool:
        """Return true if the function gets a record, which is given as it stands in the event.

        A message has a body. A pattern for the body that has fields describes only a JSON object,
        and one that has values describes only plain text. The page does not cover a body that is
        JSON but not an object: here it passes for plain text.
        """
        if not self.patterns:
            return True
        if "body" not in record:
            return any(patterns.matches(pattern, record) for pattern in self.patterns)
        # A pattern may describe fields of a JSON body, which the event holds as text.
        body = _json_object(record["body"])
        readable = {**record, "body": body}
        for pattern in self.patterns:
            if _may_describe(pattern, body) and patterns.matches(pattern, readable):
                return True
        return False


def _parse_filter(given: object) -> patterns.Pattern:
    text = ""
    if isinstance(given, dict):
        if "Pattern" not in given:
            raise patterns.InvalidPatternError("the filter has no Pattern")
        text = str(given["Pattern"])
    return patterns.parse(text)


def _may_describe(pattern: patterns.Pattern, body: object) -> bool:
    """Return false if a pattern is for text and the body is an object, or the other way round."""
    is_object = isinstance(body, dict)
    for name, expected in pattern.fields:
        is_for_text = isinstance(expected, patterns.Values)
        if name == "body" and is_for_text == is_object:
            return False
    return True


def _json_object(body: object) -> object:
    """Return the JSON object that the body's text is, or the body itself."""
    try:
        parsed = json.loads(str(body))
    except ValueError:
        return body
    return parsed if isinstance(parsed, dict) else body
