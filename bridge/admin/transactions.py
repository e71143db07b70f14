"""The endpoints for transactions: which are open, which have ended, and the energy and duration of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Literal, Protocol

from aiohttp import web
from msgspec import Meta, Struct

from bridge.admin.charge_points import Cursor, Glob, Limit
from bridge.admin.csv_files import Cell, csv_file
from bridge.admin.cursors import closed, number_in
from bridge.admin.endpoints import CSV, AdminEndpoint, AdminRequest, ClientRequest, OfAllNodes
from bridge.admin.facts import Fact
from bridge.admin.merging import PlacedPage, merged_page
from bridge.admin.scope import with_identities

State = Literal["open", "closed", "ended"]
# The items of a file that are asked for at once.
_FILE_PAGE = 500
# An idTag of at least so many characters is shown with its last ones. A shorter one would be known by them.
_SHOWN_FROM, _SHOWN = 8, 3


class TransactionFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which transactions: of which Charge Points, at which Central System, in which state. None takes all."""

    identity: Glob | None = None
    central_system: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    state: State | None = None


class TransactionsQuery(TransactionFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list: which transactions, the size of a page, and the page."""

    limit: Limit = 100
    cursor: Cursor | None = None


class TransactionFact(Fact, frozen=True, kw_only=True):
    """A transaction.

    Attributes:
        transaction_id: The transactionId that the Charge Point was told.
        central_system: The Central System that named the transaction.
        central_system_id: The transactionId at the Central System, if it is another one.
        id_tag: The idTag in the StartTransaction, masked.
        state: `open`; `closed`: over, but its StopTransaction has not come; `ended`: its StopTransaction was answered.
        started: The time in the StartTransaction.
        stopped: The time in the StopTransaction.
        duration: The seconds from `started` to `stopped`; to now for one that is open, None for one that is closed.
        meter_start: The meter value in the StartTransaction, in Wh.
        meter_stop: The meter value in the StopTransaction, in Wh.
        energy: The energy in Wh, of an open transaction according to the last MeterValues that were read; None if it is
            not known.
        reason: The reason in the StopTransaction.
    """

    identity: str
    connector: int
    transaction_id: int
    central_system: str
    central_system_id: int | None = None
    id_tag: str
    state: State
    started: str
    stopped: str | None = None
    duration: float | None = None
    meter_start: int
    meter_stop: int | None = None
    energy: float | None = None
    reason: str | None = None


class TransactionsFact(Fact, frozen=True, kw_only=True):
    """A page of transactions, the one that changed last first. It may have fewer than were asked for, and a `next`."""

    items: list[TransactionFact]
    next: str | None = None


class FoundTransactions(Struct, frozen=True, kw_only=True):
    """A page of transactions as the bridge gives it.

    Attributes:
        items: The transactions.
        places: The place of each of them, if there may be several processes.
        next: The place of the next page, None if there is none.
    """

    items: list[TransactionFact]
    places: list[int] = []
    next: int | None = None


class TransactionReader(Protocol):
    """Reads the transactions that the bridge knows."""

    async def page(
        self, wanted: TransactionFilter, before: int | None, limit: int, *, tenant: str
    ) -> FoundTransactions:
        """Return a page of a tenant's transactions, the one that changed last first.

        Args:
            wanted: The filter.
            before: `next` of the page before, None for the first page.
            limit: The most items of the page.
            tenant: The tenant.
        """


def endpoints(transactions: TransactionReader) -> list[AdminEndpoint]:
    """Return the endpoints under `/transactions`."""
    handlers = _TransactionHandlers(transactions)
    return [
        AdminEndpoint(
            scope="tenant",
            name="list-transactions",
            method="GET",
            path="/transactions",
            about="Transactions, the one that changed last first: those of the last 7 days, and the open ones",
            handle=handlers.page,
            query=TransactionsQuery,
            of_all=OfAllNodes(part=FoundTransactions, merge=merged_transactions, told=_told),
            answer=TransactionsFact,
        ),
        AdminEndpoint(
            scope="tenant",
            name="transactions-table",
            method="GET",
            path="/transactions:table",
            about="Transactions that fit filters, as a CSV file for a spreadsheet",
            handle=handlers.table,
            query=TransactionFilter,
            media=CSV,
        ),
    ]


def masked_tag(tag: str) -> str:
    """Return an idTag as an operator may see it: enough of it to see that two of them differ."""
    return f"***{tag[-_SHOWN:]}" if len(tag) >= _SHOWN_FROM else "***"


# The columns of the file, and what each has of a transaction.
_TABLE: dict[str, Callable[[TransactionFact], Cell]] = {
    "identity": lambda item: item.identity,
    "connector": lambda item: item.connector,
    "transaction_id": lambda item: item.transaction_id,
    "central_system": lambda item: item.central_system,
    "id_tag": lambda item: item.id_tag,
    "state": lambda item: item.state,
    "started": lambda item: item.started,
    "stopped": lambda item: item.stopped,
    "duration_s": lambda item: item.duration,
    "meter_start_wh": lambda item: item.meter_start,
    "meter_stop_wh": lambda item: item.meter_stop,
    "energy_wh": lambda item: item.energy,
    "reason": lambda item: item.reason,
}


def merged_transactions(
    asked: AdminRequest[TransactionsQuery, None], parts: Sequence[FoundTransactions]
) -> FoundTransactions:
    """Return a page of the transactions of a fleet from the same page of each of its parts."""
    if len(parts) == 1:
        return parts[0]
    pages = [PlacedPage(items=list(zip(part.places, part.items, strict=True)), next=part.next) for part in parts]
    page = merged_page(pages, asked.query.limit, lambda place: place, descending=True)
    return FoundTransactions(
        items=[item for _, item in page.items], places=[place for place, _ in page.items], next=page.next
    )


def _told(asked: AdminRequest[TransactionsQuery, None], page: FoundTransactions) -> TransactionsFact:
    return TransactionsFact(items=page.items, next=None if page.next is None else closed(str(page.next)))


class _TransactionHandlers:
    def __init__(self, transactions: TransactionReader) -> None:
        self._transactions = transactions

    async def page(self, asked: AdminRequest[TransactionsQuery, None]) -> FoundTransactions:
        query = asked.query
        before = None if query.cursor is None else number_in(query.cursor)
        return await self._transactions.page(query, before, query.limit, tenant=asked.tenant)

    async def table(self, asked: ClientRequest[TransactionFilter, None]) -> web.StreamResponse:
        async def page_from(place: int | None) -> FoundTransactions:
            query = {name: getattr(asked.query, name) for name in TransactionFilter.__struct_fields__}
            cursor = None if place is None else closed(str(place))
            page: FoundTransactions = await asked.whole(
                "list-transactions", TransactionsQuery(**query, limit=_FILE_PAGE, cursor=cursor)
            )
            return page

        async def rows(page: FoundTransactions) -> AsyncIterator[list[Cell]]:
            while True:
                for item in with_identities(page.items, asked.tenant):
                    yield [column(item) for column in _TABLE.values()]
                if page.next is None:
                    return
                page = await page_from(page.next)

        first = await page_from(None)
        return await csv_file(asked.client, "transactions.csv", list(_TABLE), rows(first))
