"""What is told of a response that is no verdict. Which responses are one, tests/e2e/test_delivery.py shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.net.http_client import HttpResponse
from bridge.net.verdicts import AnswerReading, judge
from bridge.ocpp.device_profile import PLAIN
from bridge.ocpp.messages import HeartbeatRequest
from bridge.ocpp.rpc import Call, Unanswered
from bridge.ocpps.xml import PLAIN_BOUNDS
from tests.ocpps.wire import CODECS

CALL = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())
READING = AnswerReading(
    codec=CODECS["CentralSystemService"],
    bounds=PLAIN_BOUNDS,
    strict=False,
    profile=PLAIN,
    known=None,
    passes=False,
    message_id="urn:uuid:1",
    carried=1,
    now=0.0,
)
_BODIES = st.one_of(
    st.binary(max_size=50),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=20), st.integers(1, 500)),
    st.builds(lambda name: b"<" + name * 1000 + b"/>", st.sampled_from([b"a", b"b\n", b"\xc3\xa9"])),
)


@given(
    st.sampled_from([200, 302, 400, 404, 429, 500, 502, 503]),
    st.text(max_size=20).flatmap(lambda text: st.sampled_from([text, text * 500])),
    _BODIES,
    st.text(max_size=300),
)
def test_what_came_is_told_in_bounds_and_on_one_line(status: int, content_type: str, body: bytes, fault: str) -> None:
    response = HttpResponse(status=status, content_type=content_type, body=body, fault=fault)
    answer = judge(response, CALL, READING).answer
    assert isinstance(answer, Unanswered)
    assert len(answer.reason) < 200
    # Characters that cannot be printed are escaped, which takes ten for each at most.
    assert len(answer.evidence) < 1500
    assert "\n" not in answer.evidence.partition(": ")[0]
    if not fault and status in (302, 404, 429, 502, 503):
        assert answer.evidence.isprintable()
