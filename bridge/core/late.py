"""Late answers: Calls that ended without an answer, whose answer may still come.

Only StartTransactions and StopTransactions are kept here. The Charge Point repeats them. Without the late answer the
repetition would begin or bill a second transaction at the Central System.

A late answer may come as long as the WebSocket is open. A POST goes on for some time after its Call has timed out; a
repetition waits for the end of the POST and is not sent before.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.lanes import Pending
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import StartTransactionResponse, StopTransactionResponse
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered, UnopenedResponse

_ANSWERED_BY = {"StartTransaction": StartTransactionResponse, "StopTransaction": StopTransactionResponse}


class LateAnswers:
    """The Calls that ended without an answer, by their UniqueId towards the Central System.

    Args:
        limit: The most Calls that are kept; the oldest is removed.
    """

    def __init__(self, limit: int = 100) -> None:
        self._limit = limit
        self._unanswered: dict[str, Pending] = {}
        self._errors: dict[str, CallError] = {}
        self.posts: dict[str, Pending] = {}  # Calls whose POST goes on; their followers are the waiting repetitions

    def expect(self, pending: Pending, *, posted: bool) -> None:
        """Note that `pending` has ended without an answer, and its repetitions with it.

        Args:
            pending: The Call. A Call whose late answer would be of no use is ignored.
            posted: Whether the POST of the Call goes on.
        """
        if pending.mark is None or pending.hop_id is None or pending.sender is not Party.CHARGE_POINT:
            return
        pending.is_over()
        if posted:
            self.posts[pending.hop_id] = pending
            return
        self._unanswered.pop(pending.hop_id, None)
        self._unanswered[pending.hop_id] = pending
        if len(self._unanswered) > self._limit:
            del self._unanswered[next(iter(self._unanswered))]

    def repetitions(self) -> Iterator[Pending]:
        """Yield the repetitions that wait for the end of a POST."""
        for post in self.posts.values():
            yield from post.followers

    def answered(self, party: Party, answer: Answer) -> Pending | None:
        """Return the Call that `party` answers late, and stop expecting its answer. None if the answer is of no use."""
        if party is Party.CHARGE_POINT or isinstance(answer, Unanswered):
            return None
        pending = self.posts.get(answer.unique_id) or self._unanswered.get(answer.unique_id)
        if pending is None or not _fits(pending, answer):
            return None
        self._unanswered.pop(answer.unique_id, None)
        self.posts.pop(answer.unique_id, None)
        return pending

    def remember_error(self, mark: str, error: CallError) -> None:
        """Keep a CALLERROR that came late for the next repetition."""
        self._errors.pop(mark, None)
        self._errors[mark] = error
        if len(self._errors) > self._limit:
            del self._errors[next(iter(self._errors))]

    def error_for(self, mark: str) -> CallError | None:
        """Return the CALLERROR kept for a repetition, and forget it. None if there is none."""
        return self._errors.pop(mark, None)


def _fits(pending: Pending, answer: CallResult | CallError) -> bool:
    if isinstance(answer, CallError):
        return True
    payload = answer.payload.read if isinstance(answer.payload, UnopenedResponse) else answer.payload
    return isinstance(payload, _ANSWERED_BY[pending.call.action])
