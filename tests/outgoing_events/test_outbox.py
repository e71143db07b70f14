"""From facts to a receiver, through the file: what is delivered, in which order, and what a restart leaves."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.net.tls import ClientContexts
from bridge.ocpp.actions import Party
from bridge.outgoing_events import Receiver, queue, writer
from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend
from bridge.outgoing_events.queue import QueueBounds
from bridge.outgoing_events.webhook import Webhook
from bridge.watching.facts import LinkLost
from tests.e2e.stage import AT_MOST
from tests.outgoing_events.receivers import SECRET, HttpReceiver, eventually, http_receiver
from tests.outgoing_events.stage import link, outbox, receiver, started


class Held:
    """A sender that is under control: `taken` are the events that arrived, `fails` is raised in place of taking one."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked: list[EventToSend] = []
        self.taken: list[EventToSend] = []
        self.closed = 0

    async def send(self, event: EventToSend) -> None:
        self.asked.append(event)
        if self.fails is not None:
            raise self.fails
        self.taken.append(event)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _pauses_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_FIRST_PAUSE", 0.01)


def webhook(at: HttpReceiver, **options: Any) -> Receiver:
    return receiver(lambda: Webhook(at.url, SECRET, ClientContexts().of(None)), **options)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


def reasons(events: list[dict[str, Any]]) -> list[str]:
    return [event["reason"] for event in events]


async def test_facts_arrive_in_their_order(url: str) -> None:
    async with http_receiver() as at, outbox(url, webhook(at)) as box:
        for number in range(20):
            box.see(link(f"{number}", f"CP {number % 3}"))
        events = await at.has(20)
        for number in range(3):
            mine = [event for event in events if event["charge_point"] == f"CP {number}"]
            assert reasons(mine) == [str(each) for each in range(20) if each % 3 == number]
        await eventually(lambda: box.health()["billing"].waiting == 0)
        assert box.health()["billing"].delivered == 20


async def test_without_receivers_there_is_no_file_and_nothing_is_made(url: str, tmp_path: Path) -> None:
    async with outbox(url) as box:
        box.see(started(1))
        assert box.on_disk() is None and box.health() == {}
    assert list(tmp_path.iterdir()) == []


async def test_an_answer_waits_for_the_events_that_it_may_not_lose(url: str, tmp_path: Path) -> None:
    sender = Held()
    sender.fails = DeliveryFailed("not now")
    async with outbox(url, receiver(lambda: sender)) as box:
        box.see(link("a link is not one"))
        assert box.on_disk() is None
        box.see(started(1))
        waits = box.on_disk()
        assert waits is not None and await asyncio.wait_for(asyncio.wrap_future(waits), AT_MOST) is True
        assert box.on_disk() is None, "the next answer does not wait for it again"
    with closing(sqlite3.connect(tmp_path / "x.events.db")) as left:
        kinds = [kind for (kind,) in left.execute("SELECT type FROM event ORDER BY number")]
    assert kinds == ["link", "transaction_started"]


async def test_who_wants_no_transactions_makes_nobody_wait(url: str) -> None:
    async with outbox(url, receiver(Held, types=["link"])) as box:
        box.see(started(1))
        assert box.on_disk() is None


async def test_what_was_not_delivered_is_delivered_after_a_restart(url: str) -> None:
    away = Held()
    away.fails = DeliveryFailed("not there")
    async with outbox(url, receiver(lambda: away)) as box:
        for number in range(5):
            box.see(link(f"{number}"))
        await eventually(lambda: box.health()["billing"].waiting == 5)
        await eventually(lambda: box.health()["billing"].trouble == "not there")
    async with http_receiver() as at, outbox(url, webhook(at)) as box:
        box.see(link("5"))
        assert reasons(await at.has(6)) == ["0", "1", "2", "3", "4", "5"]
        await eventually(lambda: box.health()["billing"].waiting == 0)
    async with http_receiver() as at, outbox(url, webhook(at)) as box:
        box.see(link("6"))
        assert reasons(await at.has(1)) == ["6"], "nothing is sent twice"


async def test_numbers_grow_even_if_the_clock_goes_back(url: str) -> None:
    away = Held()
    away.fails = DeliveryFailed("not there")
    async with outbox(url, receiver(lambda: away), clock=lambda: 2e9) as box:
        box.see(link("first"))
        await eventually(lambda: box.health()["billing"].waiting == 1)
    taken = Held()
    # The first one is of another time, so that it must not count as too old.
    patient = QueueBounds(events=9, octets=10_000, age=1e9)
    async with outbox(url, receiver(lambda: taken, bounds=patient), clock=lambda: 1.9e9) as box:
        box.see(link("second"))
        await eventually(lambda: len(taken.taken) == 2)
    assert [b"first" in event.content for event in taken.taken] == [True, False]


async def test_each_receiver_gets_what_it_wants_and_one_that_is_away_delays_no_other(url: str) -> None:
    money, links, away = Held(), Held(), Held()
    away.fails = DeliveryFailed("not there")
    receivers = [
        receiver(lambda: money, "money", types=["transaction_started"]),
        receiver(lambda: links, "links", types=["link"]),
        receiver(lambda: away, "away"),
    ]
    async with outbox(url, *receivers) as box:
        for number in range(3):
            box.see(started(number))
            box.see(link(f"{number}"))
        await eventually(lambda: len(money.taken) == len(links.taken) == 3)
        assert {event.type for event in money.taken} == {"transaction_started"}
        assert {event.type for event in links.taken} == {"link"}
        assert box.health()["away"].waiting == 6


async def test_a_receiver_that_comes_back_gets_all(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bridge.events"):
        async with http_receiver() as at, outbox(url, webhook(at)) as box:
            at.answers = lambda event: 503
            box.see(link("0"))
            box.see(link("1"))
            await eventually(lambda: box.health()["billing"].trouble == "HTTP 503")
            assert box.health()["billing"].since is not None
            at.answers = lambda event: 200
            assert reasons(await at.has(2)) == ["0", "1"]
            await eventually(lambda: box.health()["billing"].trouble is None)
            assert box.health()["billing"].since is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_an_event_that_is_refused_delays_its_charge_point_alone(url: str) -> None:
    async with http_receiver() as at, outbox(url, webhook(at)) as box:
        at.answers = lambda event: 422 if event["reason"] == "bad" else 200
        for reason, identity in [("bad", "A"), ("after it", "A"), ("1", "B"), ("2", "B")]:
            box.see(link(reason, identity))
        assert reasons(await at.has(2)) == ["1", "2"]
        at.answers = lambda event: 200
        assert reasons(await at.has(4)) == ["1", "2", "bad", "after it"]


async def test_what_overflows_is_counted_and_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    away = Held()
    away.fails = DeliveryFailed("not there")
    few = QueueBounds(events=3, octets=100_000, age=3600)
    async with outbox(url, receiver(lambda: away, bounds=few)) as box:
        box.see(started(1))
        await eventually(lambda: box.health()["billing"].trouble == "not there")
        for number in range(10):
            box.see(link(f"{number}"))
        await eventually(lambda: box.health()["billing"].dropped["too_many"] == 8)
        assert box.health()["billing"].waiting == 3
    taken = Held()
    async with outbox(url, receiver(lambda: taken, bounds=few)):
        await eventually(lambda: len(taken.taken) == 3)
    assert [event.type for event in taken.taken] == ["transaction_started", "link", "link"]
    assert b'"9"' in taken.taken[-1].content
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told and "events are dropped" in told[0].getMessage()


async def test_what_waits_for_too_long_is_dropped_before_it_is_sent(url: str) -> None:
    taken = Held()
    short = QueueBounds(events=9, octets=100_000, age=5)
    async with outbox(url, receiver(lambda: taken, bounds=short), clock=lambda: 1000.0) as box:
        box.see(link("of long ago"))
        await eventually(lambda: box.health()["billing"].dropped["too_old"] == 1)
        assert taken.asked == []


async def test_what_cannot_be_written_any_more_is_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with outbox(url, receiver(Held)) as box:
        monkeypatch.setattr(writer, "MOST_EVENTS", 0)
        box.see(link("0"))
        assert box.health()["billing"].dropped["not_written"] == 1


async def test_a_receiver_with_other_settings_keeps_its_events(url: str) -> None:
    away, back = Held(), Held()
    away.fails = DeliveryFailed("not there")
    async with outbox(url, receiver(lambda: away, settings="old")) as box:
        box.see(link("0"))
        await eventually(lambda: away.asked)
        await box.take_over([receiver(lambda: back, settings="new")])
        await eventually(lambda: back.taken)
        assert away.closed == 1 and b'"0"' in back.taken[0].content
        await box.take_over([receiver(lambda: pytest.fail("it is opened again"), settings="new")])
        box.see(link("1"))
        await eventually(lambda: len(back.taken) == 2)


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_events_of_a_receiver_that_is_gone_are_deleted(
    url: str, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    away, other = Held(), Held()
    away.fails = DeliveryFailed("not there")
    async with outbox(url, receiver(lambda: away, "gone"), receiver(lambda: other, "other")) as box:
        box.see(link("0"))
        await eventually(lambda: box.health()["gone"].waiting == 1 and other.taken)
        if not restarted:
            await box.take_over([receiver(lambda: other, "other")])
    async with outbox(url, receiver(lambda: other, "other")) as box:
        box.see(link("1"))
        await eventually(lambda: len(other.taken) == 2)
    back = Held()
    async with outbox(url, receiver(lambda: back, "gone")) as box:
        box.see(link("2"))
        await eventually(lambda: back.taken)
        assert len(back.taken) == 1 and b'"2"' in back.taken[0].content
    (told,) = [record for record in caplog.records if "not configured any more" in record.getMessage()]
    assert told.levelname == "WARNING"


async def test_the_first_receiver_may_come_later(url: str) -> None:
    taken = Held()
    async with outbox(url) as box:
        box.see(link("nobody wants it"))
        await box.take_over([receiver(lambda: taken)])
        box.see(link("somebody does"))
        await eventually(lambda: taken.taken)
        assert len(taken.taken) == 1


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), DeliveryFailed("HTTP 500"), ZeroDivisionError("oh")]
)
async def test_whatever_goes_wrong_the_event_is_sent_again(url: str, error: Exception) -> None:
    sender = Held()
    sender.fails = error
    async with outbox(url, receiver(lambda: sender)) as box:
        box.see(link("0"))
        await eventually(lambda: box.health()["billing"].trouble)
        sender.fails = None
        await eventually(lambda: sender.taken)


async def test_an_attempt_has_a_deadline(url: str) -> None:
    async with http_receiver() as at, outbox(url, webhook(at, timeout=0.05)) as box:
        at.held.clear()
        box.see(link("0"))
        await eventually(lambda: box.health()["billing"].trouble == "no answer within 0.05 s")


async def test_half_a_surrogate_pair_is_no_reason_to_lose_an_event(url: str) -> None:
    async with http_receiver() as at, outbox(url, webhook(at)) as box:
        box.see(started(1, "CP \ud801"))
        await at.has(1)
        at.events.clear()
        box.see(LinkLost("CP \ud800", Party.CHARGE_POINT, "main", "a\udfff"))
        (event,) = await at.has(1)
        assert (event["charge_point"], event["reason"]) == ("CP ?", "a?")


async def test_events_in_memory_are_delivered_too() -> None:
    async with http_receiver() as at, outbox("memory:", webhook(at)) as box:
        box.see(link("0"))
        assert reasons(await at.has(1)) == ["0"]


async def test_a_disk_that_fails_is_told_and_the_events_are_sent_later(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_RETRY", 0.02)
    (tmp_path / "x.events.db").mkdir()
    taken = Held()
    async with outbox(url, receiver(lambda: taken)) as box:
        box.see(started(1))
        waits = box.on_disk()
        assert waits is not None and waits.result(AT_MOST) is False
        trouble = box.health()["billing"].trouble
        assert trouble is not None and "it is not a file" in trouble
        (tmp_path / "x.events.db").rmdir()
        await eventually(lambda: taken.taken)
        assert box.health()["billing"].trouble is None


async def test_an_event_waits_for_a_file_that_is_closed_while_the_disk_is_full(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer closes the file to open it again, which a full disk does not allow."""
    monkeypatch.setattr(writer, "_RETRY", 0.02)
    taken = Held()
    taken.fails = ConnectionRefusedError("away")
    async with outbox(url, receiver(lambda: taken)) as box:
        box.see(started(1))
        await eventually(lambda: taken.asked)

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as disk:
            disk.setattr(box._database, "write", full)
            disk.setattr(box._database, "_connect", full)
            box.see(started(2))
            trouble = box._deliveries["billing"]
            await eventually(lambda: "cannot be read: it is not open" in (trouble.trouble or ""))
            taken.fails = None
            health = box.health()["billing"]
            assert (health.delivered, health.waiting) == (0, 1)
            assert health.trouble is not None and "disk is full" in health.trouble
        await eventually(lambda: len(taken.taken) == 2)
        await eventually(lambda: box.health()["billing"].delivered == 2)


async def test_an_event_that_the_file_does_not_hold_any_more_is_counted_as_dropped(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one in a file that was corrupt, and was replaced by an empty one."""
    taken = Held()
    taken.fails = ConnectionRefusedError("away")
    async with outbox(url, receiver(lambda: taken)) as box:
        box.see(link("0"))
        box.see(link("1"))
        await eventually(lambda: taken.asked and len(box._deliveries["billing"].queue) == 2)
        first, _ = box._deliveries["billing"].queue.numbers()
        box._database.write([], [first], [], durable=True)
        taken.fails = None
        await eventually(lambda: taken.taken)
        health = box.health()["billing"]
        assert (health.delivered, health.dropped["unreadable"]) == (1, 1)
    assert "events are dropped, and their receiver never gets them" in caplog.text


async def test_a_database_that_cannot_be_read_delays_the_event(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Held()
    async with outbox(url, receiver(lambda: taken)) as box:
        read: Callable[[int], Any] = box._database.content

        def broken(number: int) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(box._database, "content", broken)
        box.see(link("0"))
        await eventually(lambda: "cannot be read: disk I/O error" in (box.health()["billing"].trouble or ""))
        monkeypatch.setattr(box._database, "content", read)
        await eventually(lambda: taken.taken)
