"""Between the Sessions and the store, on a file and in memory: what was kept is there after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.core.addresses import Callback, learn
from bridge.core.connectors import Connector
from bridge.core.memory import Alias, Answered, Memory, Record, fingerprint
from bridge.gateway.keeping import Keeping
from bridge.store import AnsweredRecord, ChargePointRecord, Store
from tests.core.samples import BOOT, START, START_CONF, STOP, STOP_CONF, boot_conf, start_conf

NOW = 1_790_000_000.0
# What is waited for comes, or the test fails.
AT_MOST = 20.0
MARK, OTHER_MARK = fingerprint(START) or "", fingerprint(STOP) or ""
LEARNT = Callback(url="http://192.0.2.7:8081/ocpp", networks=(ip_network("192.0.2.7/32"), ip_network("2001:db8::/32")))


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Life:
    """The bridge, or what of it keeps, through its restarts."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self._url = url
        self._begin()

    def _begin(self) -> None:
        self.store = Store(self._url, clock=self.clock)
        self.store.open()
        self.keeping = Keeping(self.store, self.clock)

    def restart(self) -> Keeping:
        """Stop it and start it again; in `memory:` nothing but the Keeping is new."""
        if self._url == "memory:":
            self.keeping = Keeping(self.store, self.clock)
        else:
            self.store.close()
            self._begin()
        return self.keeping

    def keep(self, *records: Record, identity: str = "RDAM 123") -> None:
        assert self.keeping.keep(identity, records).result(AT_MOST)

    def put(self, *records: Any) -> None:
        """Into the store, past the Keeping."""
        assert self.store.commit(*records).result(AT_MOST)


@pytest.fixture(params=["sqlite", "memory"])
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Life]:
    life = Life("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/bridge.db")
    yield life
    life.store.close()


@contextmanager
def written(life: Life, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The records that are put meanwhile."""
    records: list[Any] = []
    put: Callable[..., None] = life.store.put

    def noted(*more: Any) -> None:
        records.extend(more)
        put(*more)

    with monkeypatch.context() as patch:
        patch.setattr(life.store, "put", noted)
        yield records


class TestMemory:
    """What a Session must remember."""

    RECORDS = (
        Answered(fingerprint=MARK, answer=START_CONF),
        Answered(fingerprint=OTHER_MARK, answer=STOP_CONF),
        Alias(transaction_id=2**40, alias=2**31 - 1),
        Alias(transaction_id=-(2**70), alias=2**31 - 2),
        Connector(number=1, status="Charging", transaction_id=2**31 - 1),
        Connector(number=2, ended=True),
    )
    AS_MEMORY = Memory(answered=RECORDS[:2], aliases=RECORDS[2:4], connectors=RECORDS[4:])

    def test_of_one_that_nobody_heard_of_is_empty(self, life: Life) -> None:
        assert life.keeping.memory_of("RDAM 123") == Memory()

    def test_what_was_kept_is_there_after_a_restart(self, life: Life) -> None:
        life.keep(*self.RECORDS)
        assert life.keeping.memory_of("RDAM 123") == self.AS_MEMORY
        assert life.restart().memory_of("RDAM 123") == self.AS_MEMORY

    def test_what_was_noted_likewise(self, life: Life) -> None:
        life.keeping.note("RDAM 123", self.RECORDS)
        assert life.keeping.memory_of("RDAM 123") == self.AS_MEMORY
        assert life.restart().memory_of("RDAM 123") == self.AS_MEMORY

    def test_however_its_identity_is_written(self, life: Life) -> None:
        life.keep(*self.RECORDS)
        assert life.restart().memory_of("rdam 123") == self.AS_MEMORY
        assert life.keeping.memory_of("RDAM 124") == Memory()

    def test_later_records_take_the_place_of_earlier_ones(self, life: Life) -> None:
        life.keep(Connector(number=1, status="Preparing"), Answered(fingerprint=MARK, answer=START_CONF))
        life.keep(Connector(number=1, status="Charging"), Answered(fingerprint=MARK, answer=start_conf(8)))
        memory = life.restart().memory_of("RDAM 123")
        assert memory.connectors == (Connector(number=1, status="Charging"),)
        assert memory.answered == (Answered(fingerprint=MARK, answer=start_conf(8)),)

    def test_an_answer_has_an_age(self, life: Life) -> None:
        life.keep(Answered(fingerprint=MARK, answer=START_CONF))
        life.clock.now += 100
        (answered,) = life.restart().memory_of("RDAM 123").answered
        assert answered == Answered(fingerprint=MARK, answer=START_CONF, age=100)

    def test_an_answer_is_kept_for_a_week(self, life: Life) -> None:
        life.keep(Answered(fingerprint=MARK, answer=START_CONF), Alias(transaction_id=2**40, alias=5))
        life.clock.now += 7 * 24 * 3600
        assert len(life.restart().memory_of("RDAM 123").answered) == 1
        life.clock.now += 1
        memory = life.restart().memory_of("RDAM 123")
        assert (memory.answered, len(memory.aliases)) == ((), 1)

    @pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
    @pytest.mark.parametrize(
        "answer", [b"", b"\xff", b"[]", b"{", b'"x"', b'{"transactionId":"x"}', b'{"idTagInfo":1}']
    )
    def test_an_answer_of_another_version_is_ignored(self, life: Life, action: Any, answer: bytes) -> None:
        life.put(AnsweredRecord(identity="RDAM 123", action=action, fingerprint="?", answer=answer, at=NOW))
        life.keep(Answered(fingerprint=MARK, answer=START_CONF))
        readable = life.restart().memory_of("RDAM 123").answered
        assert Answered(fingerprint=MARK, answer=START_CONF) in readable
        if action == "StartTransaction":
            assert len(readable) == 1

    def test_nor_does_one_of_an_action_that_nobody_knows_matter(self, life: Life) -> None:
        """In a file; a record of one's own has only two."""
        record = AnsweredRecord(identity="RDAM 123", action="StartTransaction", fingerprint="?", answer=b"{}", at=NOW)
        life.put(structs.replace(record, action="Elsewhere"))
        assert life.restart().memory_of("RDAM 123").answered == ()

    @pytest.mark.parametrize("boot", [b"", b"\xff", b"[]", b"{}", b'{"chargePointVendor":1,"chargePointModel":"m"}'])
    def test_a_boot_notification_of_another_version_is_ignored(self, life: Life, boot: bytes) -> None:
        record = ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")
        life.put(structs.replace(record, boot=boot, interval=300))
        assert life.restart().memory_of("RDAM 123") == Memory(heartbeat=300)


@given(st.integers(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_answer_comes_back_as_it_was(transaction_id: int, mark: str) -> None:
    life = Life("memory:")
    kept = Answered(fingerprint=mark, answer=start_conf(transaction_id))
    life.keep(kept)
    assert life.restart().memory_of("RDAM 123").answered == (kept,)


class TestHeard:
    """Who was heard of, and when: written when something changed, or a restart would have to know."""

    def test_at_once_when_it_is_new(self, life: Life) -> None:
        life.keeping.heard("RDAM 123")
        (record,) = life.restart().charge_points()
        assert record == ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")

    def test_then_once_a_minute(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        life.keeping.heard("RDAM 123")
        with written(life, monkeypatch) as records:
            for _ in range(1000):
                life.clock.now += 1.0
                life.keeping.heard("RDAM 123")
        assert [record.last_seen - NOW for record in records] == [60.0 * n for n in range(1, 17)]

    def test_or_once_a_heartbeat_if_that_is_shorter(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is idle after three heartbeats must not look so because nobody wrote it down."""
        life.keeping.heard("RDAM 123", interval=10)
        with written(life, monkeypatch) as records:
            for _ in range(30):
                life.clock.now += 1.0
                life.keeping.heard("RDAM 123")
        assert [record.last_seen - NOW for record in records] == [10.0, 20.0, 30.0]

    @pytest.mark.parametrize("interval", [0, 60, 86_400])
    def test_but_not_less_often(self, life: Life, monkeypatch: pytest.MonkeyPatch, interval: int) -> None:
        life.keeping.heard("RDAM 123", interval=interval)
        with written(life, monkeypatch) as records:
            life.clock.now += 59.0
            life.keeping.heard("RDAM 123")
            assert records == []
            life.clock.now += 1.0
            life.keeping.heard("RDAM 123")
        assert len(records) == 1

    @pytest.mark.parametrize(
        ("changes", "field", "value"),
        [
            ({"transport": "json"}, "transport", "json"),
            ({"version": "1.5"}, "version", "1.5"),
            ({"interval": 300}, "interval", 300),
            ({"callback": Callback(url="http://192.0.2.8/")}, "callback_url", "http://192.0.2.8/"),
        ],
    )
    def test_and_when_something_changed(
        self, life: Life, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], field: str, value: object
    ) -> None:
        life.keeping.heard("RDAM 123")
        with written(life, monkeypatch) as records:
            life.clock.now += 1.0
            life.keeping.heard("RDAM 123", **changes)
            assert [(getattr(record, field), record.last_seen) for record in records] == [(value, NOW + 1)]
            life.keeping.heard("RDAM 123", **changes)
            life.keeping.heard("RDAM 123")
        assert len(records) == 1
        (record,) = life.restart().charge_points()
        assert getattr(record, field) == value

    def test_what_it_said_of_itself_is_there_after_a_restart(self, life: Life) -> None:
        life.keeping.heard("RDAM 123", boot=BOOT, interval=boot_conf(300).interval)
        assert life.restart().memory_of("RDAM 123") == Memory(boot=BOOT, heartbeat=300)

    def test_what_is_not_said_anew_stays(self, life: Life) -> None:
        life.keeping.heard("RDAM 123", "json", interval=300, boot=BOOT)
        life.keeping.heard("RDAM 123", callback=LEARNT)
        life.keeping.heard("RDAM 123", interval=None, boot=None, callback=None)
        known = life.restart().record_of("RDAM 123")
        assert known is not None
        assert (known.transport, known.interval, known.callback_url) == ("json", 300, LEARNT.url)
        assert life.keeping.memory_of("RDAM 123").boot == BOOT

    def test_its_identity_stays_as_it_was_first_written(self, life: Life) -> None:
        life.keeping.heard("RDAM 123")
        life.clock.now += 100
        life.keeping.heard("rdam 123", interval=5)
        (record,) = life.restart().charge_points()
        assert (record.identity, record.last_seen, record.interval) == ("RDAM 123", NOW + 100, 5)
        assert life.keeping.record_of("rDAM 123") == record
        assert life.keeping.record_of("RDAM 12") is None


class TestCallback:
    """The address that was learnt, with the limits under which it was."""

    @pytest.mark.parametrize(
        "learnt", [LEARNT, Callback(url="https://cp.example/", networks=()), Callback(url="http://[2001:db8::1]:80/")]
    )
    def test_it_is_there_after_a_restart(self, life: Life, learnt: Callback) -> None:
        life.keeping.heard("RDAM 123", "soap", callback=learnt)
        assert life.restart().callback_of("RDAM 123", learnt.networks or ()) == learnt

    def test_its_networks_limit_it_as_before(self, life: Life) -> None:
        life.keeping.heard("RDAM 123", "soap", callback=LEARNT)
        restored = life.restart().callback_of("RDAM 123", (ip_network("0.0.0.0/0"), ip_network("2001:db8::/64")))
        assert restored is not None
        assert [restored.admits(at) for at in ("192.0.2.7", "192.0.2.8", "2001:db8::9", "127.0.0.1")] == [
            True,
            False,
            True,
            False,
        ]

    def test_and_so_do_those_that_the_operator_admits_now(self, life: Life) -> None:
        life.keeping.heard("RDAM 123", "soap", callback=LEARNT)
        restored = life.restart().callback_of("RDAM 123", ())
        assert restored is not None and not restored.admits("2001:db8::9")

    def test_a_guess_is_still_one(self, life: Life) -> None:
        for peer in ("192.0.2.7", "2001:db8::7"):
            guess = learn("/addressing/anonymous", None, peer, ())
            assert isinstance(guess, Callback) and guess.guessed
            life.keeping.heard("RDAM 123", "soap", callback=guess)
            assert life.restart().callback_of("RDAM 123", ()) == guess

    def test_there_is_none_if_none_was_learnt(self, life: Life) -> None:
        life.keeping.heard("RDAM 123", "soap")
        assert life.restart().callback_of("RDAM 123", ()) is None
        assert life.keeping.callback_of("nobody", ()) is None

    def test_one_that_cannot_be_read_is_none(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        record = ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")
        life.put(structs.replace(record, callback_url="http://192.0.2.7/", callback_networks=("anywhere",)))
        with caplog.at_level(logging.WARNING):
            assert life.restart().callback_of("RDAM 123", ()) is None
        assert "a stored callback address cannot be read" in caplog.text
