"""Names of Lambda functions in requests: a name, an ARN, or a part of an ARN. Pure.

Each may end with a version or an alias.
https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html#lambda-GetFunction-request-FunctionName
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.places import Place

_NAME: Final = re.compile(
    r"(?:arn:aws:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[\w-]+)(?::(?P<qualifier>[\w$-]+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """The parts of a function's name in a request.

    Attributes:
        name: the function's own name, without its account or region.
        qualifier: the version or alias; None if there is none.
        place: the account and region. Parts that the request leaves out are empty.
    """

    name: str
    qualifier: str | None
    place: Place

    @classmethod
    def parse(cls, text: str) -> FunctionName | None:
        """Read a name, an ARN or a part of an ARN; return None for anything else."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        place = Place(found["account"] or "", found["region"] or "")
        return cls(found["name"], found["qualifier"], place)

    @property
    def short(self) -> str:
        """The name and the qualifier, as in `orders:live`."""
        if self.qualifier is None:
            return self.name
        return f"{self.name}:{self.qualifier}"

    def arn(self, default: Place) -> str:
        """Return the ARN with the qualifier; `default` has what the request leaves out."""
        region = self.place.region or default.region
        account = self.place.account or default.account
        return f"arn:aws:lambda:{region}:{account}:function:{self.short}"


def not_reachable(theirs: str, ours: str) -> str:
    """Return Lambda's message about a function of a region other than the request's."""
    return f"Functions from '{theirs}' are not reachable in this region ('{ours}')"
