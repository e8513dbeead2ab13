"""What stood in a function's place before the stub: a published version of its real code. Pure.

The command line writes one record for each function before an apply puts the stub in its place. The
broker reads it when no relay is connected, and a restore puts the version's code back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replaced:
    """The real code of a live function.

    Attributes:
        function: the function's ARN without a qualifier.
        version: the number of the published version that equals what `$LATEST` was. See
            https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
        code_sha256: the Base64 SHA-256 of its code, as Lambda reports it.
        made: whether terralive has published this version. If so, a restore deletes it.
        aliases: the version that each alias named before it was pointed at `$LATEST`, by the
            alias's name.
        can_answer: whether a stub may invoke the version. Otherwise it only serves the restore.
        reason: why it may not; "" if it may.
    """

    function: str
    version: str
    code_sha256: str
    made: bool
    aliases: Mapping[str, str] = field(default_factory=dict)
    can_answer: bool = True
    reason: str = ""
