"""Answers that come after the deadline of their Calls: which of them are still of use, to whoever asks again.

Only those to a StartTransaction or StopTransaction are: the Charge Point sends it again, and would else begin or bill a
second transaction at its Central System.
"""

from __future__ import annotations

from bridge.core.lanes import Pending
from bridge.core.memory import Answered
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import StartTransactionResponse, StopTransactionResponse
from bridge.ocpp.rpc import Answer, CallResult

_ANSWERED_BY = {"StartTransaction": StartTransactionResponse, "StopTransaction": StopTransactionResponse}


class LateAnswers:
    """The Calls that ended without an answer, the `limit` newest; and the answers that came all the same, until they
    are put away. All by the UniqueId that a Call had towards the Central System."""

    def __init__(self, limit: int = 100) -> None:
        self._limit = limit
        self._unanswered: dict[str, Pending] = {}
        self._keeping: dict[str, Answered] = {}

    def expect(self, pending: Pending) -> None:
        """`pending` ends without an answer. Whether one may still be of use is seen to here."""
        if pending.mark is None or pending.hop_id is None or pending.sender is not Party.CHARGE_POINT:
            return
        self._unanswered[pending.hop_id] = pending
        if len(self._unanswered) > self._limit:
            del self._unanswered[next(iter(self._unanswered))]

    def asked(self, party: Party, answer: Answer) -> tuple[Pending, CallResult] | None:
        """The Call that `party` answers so late, and the answer; None if that is of no use."""
        pending = None if party is Party.CHARGE_POINT else self._unanswered.get(answer.unique_id)
        if pending is None or not isinstance(answer, CallResult):
            return None
        if not isinstance(answer.payload, _ANSWERED_BY[pending.call.action]):
            return None
        return self._unanswered.pop(answer.unique_id), answer

    def keep(self, hop_id: str, record: Answered) -> None:
        """`record` is being put away."""
        self._keeping[hop_id] = record

    def kept(self, hop_id: str) -> Answered | None:
        """It is put away, as well as it can be: it may be told."""
        return self._keeping.pop(hop_id, None)
