"""Points in time: what is read in few steps is what is read closely."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp import times

_digits = st.integers(0, 99).map(lambda number: f"{number:02}")
_texts = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.integers(0, 9999).map(lambda year: f"{year:04}"),
    *(_digits, _digits, st.sampled_from("Tt "), _digits, _digits, _digits),
    st.sampled_from(["", ".0", ".999", ".1234567890123"]),
    st.sampled_from(["", "Z", "z", "+00:00", "-01:30", "+0100", "+24:00", "-00:60"]),
)
_likely = st.datetimes().map(lambda moment: moment.isoformat()) | st.datetimes(timezones=st.timezones()).map(
    lambda moment: moment.isoformat()[:26] + "Z"
)


@given(text=_texts | _likely, zone=st.sampled_from([UTC, timezone(timedelta(hours=2))]))
def test_a_time_is_read_the_same_in_few_steps_and_closely(text: str, zone: timezone) -> None:
    quickly = times.read_time(text, zone, day_alone=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "_usually", lambda *_: None)
        assert times.read_time(text, zone, day_alone=False) == quickly
