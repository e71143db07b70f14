"""Last authorization status of each idTag, for a StartTransaction.conf that leaves the status out."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from bridge.ocpp.enums import AuthorizationStatus
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    Request,
    Response,
    StartTransactionRequest,
    StartTransactionResponse,
)
from bridge.ocpp.rpc import CallResult

# Most idTags that are kept for one Charge Point between an Authorize and the StartTransaction after it. The oldest
# are removed.
_MOST = 100


class Authorized(Struct, frozen=True, kw_only=True):
    """The status of the last Authorize.conf for an idTag. The idTag is in lower case."""

    id_tag: str
    status: AuthorizationStatus


class Authorizations:
    """The status of the last Authorize.conf for each idTag, letter case aside (OCPP 1.6 edition 2, 7.28).

    Args:
        known: The records that were stored before the bridge started, the oldest first.
    """

    def __init__(self, known: Iterable[Authorized] = ()) -> None:
        self._status: dict[str, AuthorizationStatus] = {}
        for record in known:
            self._put(record)

    def see(self, request: Request, response: Response) -> Authorized | None:
        """Learn the status of an idTag from an answer.

        Args:
            request: The request that was answered.
            response: The payload of the answer.

        Returns:
            The new record, None if there is none.
        """
        match request, response:
            case AuthorizeRequest(idTag=tag), AuthorizeResponse(idTagInfo=info):
                record = Authorized(id_tag=tag.lower(), status=info.status)
                self._put(record)
                return record
        return None

    def completed(self, request: Request, answer: CallResult) -> CallResult:
        """Return the answer with the known status of the idTag, if the answer leaves the status out (tolerance T1).

        Args:
            request: The request that was answered.
            answer: The answer. A Loss in it says that its status is assumed.
        """
        match request, answer.payload:
            case StartTransactionRequest(idTag=tag), StartTransactionResponse(idTagInfo=info) as payload:
                known = self._status.get(tag.lower())
                if known is not None and any(loss.reason is LossReason.ASSUMED_STATUS for loss in answer.losses):
                    return replace(answer, payload=replace(payload, idTagInfo=replace(info, status=known)))
        return answer

    def _put(self, record: Authorized) -> None:
        self._status.pop(record.id_tag, None)
        self._status[record.id_tag] = record.status
        if len(self._status) > _MOST:
            del self._status[next(iter(self._status))]
