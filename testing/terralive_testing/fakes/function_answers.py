"""Hypothesis strategies of what functions answer to API Gateway: JSON, and bytes that are not."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


def answers(fields: Sequence[str], required: Sequence[str] = ()) -> st.SearchStrategy[bytes]:
    """Return answers with any of these fields, whose values are any JSON, and any short bytes.

    Args:
        fields: fields that an answer may have.
        required: fields that it always has.
    """
    objects = st.fixed_dictionaries(
        dict.fromkeys(required, JSON), optional=dict.fromkeys(fields, JSON)
    )
    return st.binary(max_size=20) | objects.map(lambda answer: json.dumps(answer).encode())
