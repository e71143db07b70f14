"""A Hypothesis strategy for what a wire, or somebody with a grudge, makes of a valid message."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes], tokens: Sequence[bytes]) -> bytes:
    """A valid message after a few cuts, doublings and insertions; `tokens` are what its format trips over."""
    message = draw(originals)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(message)))
        end = min(len(message), start + draw(st.sampled_from([0, 1, 2, 8, 40])))
        inserted = draw(st.sampled_from([b"", message[start:end] * 2, *tokens]) | st.binary(max_size=3))
        message = message[:start] + inserted + message[end:]
    return message
