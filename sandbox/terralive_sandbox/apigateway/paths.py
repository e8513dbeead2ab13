"""Match a request's path against the path of a route (HTTP APIs) or resource (REST APIs).

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import unquote


class SegmentKind(IntEnum):
    """The kind of one segment of a route's path. A smaller one is more specific."""

    LITERAL = 0
    PARAMETER = 1  # {name}
    GREEDY = 2  # {name+}: takes the rest of the path


@dataclass(frozen=True, slots=True)
class PathMatch:
    """A route's path that fits a request's path.

    Attributes:
        kinds: the kind of each segment of the route's path. Of two matches for one request, the
            smaller tuple is the more specific one.
        parameters: the values of the path parameters, percent-encoded.
    """

    kinds: tuple[SegmentKind, ...]
    parameters: Mapping[str, str]


def match_path(pattern: Sequence[str], segments: Sequence[str]) -> PathMatch | None:
    """Match the segments of a route's path with those of a request's path.

    Returns:
        The match, or None if the request's path is another one.
    """
    kinds: list[SegmentKind] = []
    parameters: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if index >= len(segments):
            return None
        segment = segments[index]
        # A greedy parameter is the last part and takes the rest of the path, slashes included.
        if part.startswith("{") and part.endswith("+}"):
            parameters[part[1:-2]] = "/".join(segments[index:])
            return PathMatch((*kinds, SegmentKind.GREEDY), parameters)
        if part.startswith("{") and part.endswith("}") and segment:
            parameters[part[1:-1]] = segment
            # An empty segment is not a value, so `/pets/` does not match `/pets/{id}`.
            kinds.append(SegmentKind.PARAMETER)
        elif unquote(part) == unquote(segment):
            # A route and a client may encode the same character in different ways.
            kinds.append(SegmentKind.LITERAL)
        else:
            return None
    if len(pattern) != len(segments):
        return None
    return PathMatch(tuple(kinds), parameters)
