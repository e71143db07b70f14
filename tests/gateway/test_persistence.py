"""Between the Sessions and the store, on a file and in memory: what was kept is there after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from bridge.core.addresses import CallbackTarget, Learning, learn
from bridge.core.authorizations import Authorized
from bridge.core.boots import Booted
from bridge.core.connectors import ConnectorState, LastStatus
from bridge.core.destinations import Network
from bridge.core.memory import Alias, Record, SessionMemory
from bridge.core.repetitions import Answered, Asked, fingerprint, renewed
from bridge.core.silence import Presence
from bridge.gateway.persistence import Persistence
from bridge.ocpp.enums import AuthorizationStatus, ChargePointErrorCode, ChargePointStatus
from bridge.ocpp.messages import StatusNotificationRequest
from bridge.ocpp.rpc import Verbatim
from bridge.store import AnsweredRecord, ChargePointRecord, Store
from tests.core.samples import BOOT, START, START_CONF, STOP, STOP_CONF, start_conf

NOW = 1_790_000_000.0
# What is waited for comes, or the test fails.
AT_MOST = 20.0
MARK, OTHER_MARK = fingerprint(START) or "", fingerprint(STOP) or ""
STATUS = StatusNotificationRequest(
    connectorId=1, errorCode=ChargePointErrorCode.NoError, status=ChargePointStatus.Charging
)
LEARNT = CallbackTarget(
    url="http://192.0.2.7:8081/ocpp", networks=(ip_network("192.0.2.7/32"), ip_network("2001:db8::/32"))
)


def kept(answer: Any, mark: str = MARK, **more: Any) -> Answered:
    """As it comes back: with its octets."""
    return Answered(fingerprint=mark, answer=answer, raw=json.encode(answer), **more)


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
        self.persistence = Persistence(self.store, self.clock)

    def restart(self) -> Persistence:
        """Stop it and start it again; in `memory:` nothing but the Persistence is new."""
        if self._url == "memory:":
            self.persistence = Persistence(self.store, self.clock)
        else:
            self.store.close()
            self._begin()
        return self.persistence

    def keep(self, *records: Record, identity: str = "RDAM 123") -> None:
        assert self.persistence.keep(identity, records).result(AT_MOST)

    def put(self, *records: Any) -> None:
        """Into the store, past the Persistence."""
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
        kept(START_CONF),
        kept(STOP_CONF, OTHER_MARK),
        Alias(transaction_id=2**40, alias=2**31 - 1),
        Alias(transaction_id=-(2**70), alias=2**31 - 2),
        ConnectorState(number=1, status="Charging", transaction_id=2**31 - 1),
        ConnectorState(number=2, ended=True),
        Asked(fingerprint="asked", unique_id="h1"),
        LastStatus(request=STATUS),
        Authorized(id_tag="tag", status=AuthorizationStatus.Blocked),
    )
    AS_MEMORY = SessionMemory(
        answered=RECORDS[:2],
        aliases=RECORDS[2:4],
        connectors=RECORDS[4:6],
        asked=RECORDS[6:7],
        statuses=RECORDS[7:8],
        authorizations=RECORDS[8:],
    )

    def test_of_one_that_nobody_heard_of_is_empty(self, life: Life) -> None:
        assert life.persistence.memory_of("RDAM 123", "main") == SessionMemory()

    def test_what_was_kept_is_there_after_a_restart(self, life: Life) -> None:
        life.keep(*self.RECORDS)
        assert life.persistence.memory_of("RDAM 123", "main") == self.AS_MEMORY
        assert life.restart().memory_of("RDAM 123", "main") == self.AS_MEMORY

    def test_a_body_is_kept_unless_it_was_changed_on_its_way(self, life: Life) -> None:
        as_it_came = Verbatim(version="1.5", body=b"<a/>", read=START_CONF)
        changed = Verbatim(version="1.5", body=b"<b/>", read=structs.replace(START_CONF, transactionId=2**40))
        for mark, verbatim in (("as it came", as_it_came), ("changed", changed)):
            life.keep(Answered(fingerprint=mark, answer=START_CONF, verbatim=verbatim))
        bodies = [each.verbatim for each in life.restart().memory_of("RDAM 123", "main").answered]
        assert bodies == [as_it_came, None]

    def test_what_was_noted_likewise(self, life: Life) -> None:
        life.persistence.note("RDAM 123", self.RECORDS)
        assert life.persistence.memory_of("RDAM 123", "main") == self.AS_MEMORY
        assert life.restart().memory_of("RDAM 123", "main") == self.AS_MEMORY

    def test_however_its_identity_is_written(self, life: Life) -> None:
        life.keep(*self.RECORDS)
        assert life.restart().memory_of("rdam 123", "main") == self.AS_MEMORY
        assert life.persistence.memory_of("RDAM 124", "main") == SessionMemory()

    def test_later_records_take_the_place_of_earlier_ones(self, life: Life) -> None:
        life.keep(ConnectorState(number=1, status="Preparing"), kept(START_CONF))
        life.keep(ConnectorState(number=1, status="Charging"), kept(start_conf(8)))
        memory = life.restart().memory_of("RDAM 123", "main")
        assert memory.connectors == (ConnectorState(number=1, status="Charging"),)
        assert memory.answered == (kept(start_conf(8)),)

    def test_an_answer_has_an_age(self, life: Life) -> None:
        life.keep(kept(START_CONF))
        life.clock.now += 100
        (answered,) = life.restart().memory_of("RDAM 123", "main").answered
        assert answered == kept(START_CONF, age=100)

    def test_an_answer_is_kept_for_a_week(self, life: Life) -> None:
        life.keep(kept(START_CONF), Alias(transaction_id=2**40, alias=5))
        life.clock.now += 7 * 24 * 3600
        assert len(life.restart().memory_of("RDAM 123", "main").answered) == 1
        life.clock.now += 1
        memory = life.restart().memory_of("RDAM 123", "main")
        assert (memory.answered, len(memory.aliases)) == ((), 1)

    @pytest.mark.parametrize("step", [8 * 86400.0, -8 * 86400.0, 20 * 365 * 86400.0, -20 * 365 * 86400.0])
    def test_no_step_of_the_clock_makes_it_forget_an_answer(self, life: Life, step: float) -> None:
        """A week is one in which the bridge ran. A clock without a battery begins in 1970, and is set later."""
        wall = Clock()
        persistence = Persistence(life.store, wall)
        assert persistence.keep("RDAM 123", [Answered(fingerprint=MARK, answer=START_CONF)]).result(AT_MOST)
        wall.now += step
        assert persistence.keep("RDAM 123", [Answered(fingerprint=OTHER_MARK, answer=STOP_CONF)]).result(AT_MOST)
        assert [one.age for one in persistence.memory_of("RDAM 123", "main").answered] == [0.0, 0.0]
        assert [one.fingerprint for one in life.restart().memory_of("RDAM 123", "main").answered] == [MARK, OTHER_MARK]

    @pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
    @pytest.mark.parametrize(
        "answer", [b"", b"\xff", b"[]", b"{", b'"x"', b'{"transactionId":"x"}', b'{"idTagInfo":1}']
    )
    def test_an_answer_of_another_version_is_ignored(self, life: Life, action: Any, answer: bytes) -> None:
        life.put(AnsweredRecord(identity="RDAM 123", action=action, fingerprint="?", answer=answer, at=NOW, kept_at=0))
        life.keep(kept(START_CONF))
        readable = life.restart().memory_of("RDAM 123", "main").answered
        assert kept(START_CONF) in readable
        if action == "StartTransaction":
            assert len(readable) == 1

    def test_nor_does_one_of_an_action_that_nobody_knows_matter(self, life: Life) -> None:
        """In a file; a record of one's own has only two."""
        record = AnsweredRecord(
            identity="RDAM 123", action="StartTransaction", fingerprint="?", answer=b"{}", at=NOW, kept_at=0
        )
        life.put(structs.replace(record, action="Elsewhere"))
        assert life.restart().memory_of("RDAM 123", "main").answered == ()

    @pytest.mark.parametrize("boot", [b"", b"\xff", b"[]", b"{}", b'{"chargePointVendor":1,"chargePointModel":"m"}'])
    def test_a_boot_notification_of_another_version_is_ignored(self, life: Life, boot: bytes) -> None:
        record = ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")
        life.put(structs.replace(record, boot=boot, interval=300))
        assert life.restart().memory_of("RDAM 123", "main") == SessionMemory(presence=Presence(interval=300))


@given(st.integers(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_answer_comes_back_as_it_was(transaction_id: int, mark: str) -> None:
    life = Life("memory:")
    life.keep(kept(start_conf(transaction_id), mark))
    assert life.restart().memory_of("RDAM 123", "main").answered == (kept(start_conf(transaction_id), renewed(mark)),)


class TestKeptBoots:
    """A BootNotification that says what was said before is on disk already, and waits for no other commit."""

    BOOTS = tuple(structs.replace(BOOT, firmwareVersion=version) for version in ("1", "2"))
    STEPS = st.one_of(
        st.tuples(st.just("boots"), st.sampled_from(BOOTS), st.sampled_from(["Accepted", "Pending"])),
        st.tuples(st.just("heard"), st.sampled_from(BOOTS), st.sampled_from(["soap", "json"])),
        st.tuples(st.just("later"), st.none(), st.none()),
        st.tuples(st.just("removed"), st.none(), st.none()),
    )

    def booted(self, life: Life, boot: Any = BOOTS[0], status: str = "Accepted") -> None:
        life.keep(Presence(interval=300), Booted(request=boot, status=status, interval=300, central_system="main"))

    @contextmanager
    def committed(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
        records: list[Any] = []
        commit = life.store.commit

        def noted(*more: Any) -> Future[bool]:
            records.extend(more)
            return commit(*more)

        with monkeypatch.context() as patch:
            patch.setattr(life.store, "commit", noted)
            yield records

    def test_the_same_is_committed_once(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.committed(life, monkeypatch) as records:
            for _ in range(3):
                self.booted(life)
                life.clock.now += 61
                life.persistence.heard("RDAM 123", boot=self.BOOTS[0])
            assert len(records) == 1
            self.booted(life, self.BOOTS[1])
            self.booted(life)
            assert [json.decode(each.boot)["firmwareVersion"] for each in records] == ["1", "2", "1"]

    def test_what_could_not_be_written_is_committed_again(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as disk:
            failed: Future[bool] = Future()
            failed.set_result(False)
            disk.setattr(life.store, "commit", lambda *records: failed)
            kept = Booted(request=BOOT, status="Accepted", interval=300, central_system="main")
            assert not life.persistence.keep("RDAM 123", [kept]).result(AT_MOST)
        with self.committed(life, monkeypatch) as records:
            assert life.persistence.keep("RDAM 123", [kept]).result(AT_MOST)
        assert len(records) == 1

    @given(st.lists(STEPS, max_size=12))
    def test_what_was_kept_is_on_disk_whatever_came_before(self, steps: list[tuple[str, Any, Any]]) -> None:
        """A copy of the file is what a power failure leaves."""
        with TemporaryDirectory() as folder:
            life = Life(f"sqlite:///{folder}/bridge.db")
            try:
                for number, (step, boot, other) in enumerate(steps):
                    match step:
                        case "boots":
                            self.booted(life, boot, other)
                            copy = Path(folder) / str(number)
                            copytree(folder, copy, ignore=lambda _, names: [name for name in names if name.isdigit()])
                            left = Life(f"sqlite:///{copy}/bridge.db")
                            (record,) = left.store.charge_points()
                            left.store.close()
                            assert (record.boot, record.boot_status) == (json.encode(boot), other)
                        case "heard":
                            life.persistence.heard("RDAM 123", transport=other, boot=boot)
                        case "later":
                            life.clock.now += 61
                        case "removed":
                            assert life.persistence.remove("RDAM 123").result(AT_MOST)
            finally:
                life.store.close()


class TestHeard:
    """Who was heard of, and when: written when something changed, or a restart would have to know."""

    def test_at_once_when_it_is_new(self, life: Life) -> None:
        life.persistence.heard("RDAM 123")
        (record,) = life.restart().charge_points()
        assert record == ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")

    def test_then_once_a_minute(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        life.persistence.heard("RDAM 123")
        with written(life, monkeypatch) as records:
            for _ in range(1000):
                life.clock.now += 1.0
                life.persistence.heard("RDAM 123")
        assert [record.last_seen - NOW for record in records] == [60.0 * n for n in range(1, 17)]

    def test_and_at_once_when_the_clock_was_set_back(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        life.persistence.heard("RDAM 123")
        with written(life, monkeypatch) as records:
            life.clock.now -= 86400.0
            for _ in range(30):
                life.clock.now += 1.0
                life.persistence.heard("RDAM 123")
        assert [record.last_seen - NOW for record in records] == [-86399.0]

    def test_or_once_a_heartbeat_if_that_is_shorter(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is idle after three heartbeats must not look so because nobody wrote it down."""
        life.persistence.heard("RDAM 123")
        life.keep(Presence(interval=10))
        with written(life, monkeypatch) as records:
            for _ in range(30):
                life.clock.now += 1.0
                life.persistence.heard("RDAM 123")
        assert [record.last_seen - NOW for record in records] == [10.0, 20.0, 30.0]

    @pytest.mark.parametrize("interval", [0, 60, 86_400])
    def test_but_not_less_often(self, life: Life, monkeypatch: pytest.MonkeyPatch, interval: int) -> None:
        life.persistence.heard("RDAM 123")
        life.keep(Presence(interval=interval))
        with written(life, monkeypatch) as records:
            life.clock.now += 59.0
            life.persistence.heard("RDAM 123")
            assert records == []
            life.clock.now += 1.0
            life.persistence.heard("RDAM 123")
        assert len(records) == 1

    @pytest.mark.parametrize(
        ("changes", "field", "value"),
        [
            ({"transport": "json"}, "transport", "json"),
            ({"version": "1.5"}, "version", "1.5"),
            ({"callback": CallbackTarget(url="http://192.0.2.8/")}, "callback_url", "http://192.0.2.8/"),
            ({"boot": BOOT}, "boot", msgspec.json.encode(BOOT)),
        ],
    )
    def test_and_when_something_changed(
        self, life: Life, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], field: str, value: object
    ) -> None:
        life.persistence.heard("RDAM 123")
        with written(life, monkeypatch) as records:
            life.clock.now += 1.0
            life.persistence.heard("RDAM 123", **changes)
            assert [(getattr(record, field), record.last_seen) for record in records] == [(value, NOW + 1)]
            life.persistence.heard("RDAM 123", **changes)
            life.persistence.heard("RDAM 123")
        assert len(records) == 1
        (record,) = life.restart().charge_points()
        assert getattr(record, field) == value

    def test_what_is_written_or_removed_is_told(self) -> None:
        told: list[str] = []
        persistence = Persistence(Store("memory:"), changed=told.append)
        persistence.heard("RDAM 123")
        persistence.heard("rdam 123")
        assert told == ["RDAM 123"], "the second within a minute is not written"
        persistence.remove("rdam 123")
        persistence.remove("nobody")
        assert told == ["RDAM 123", "RDAM 123", "nobody"], "a Charge Point that has only settings may be removed"

    def test_what_it_said_of_itself_is_there_after_a_restart(self, life: Life) -> None:
        presence = Presence(interval=300, configured=600, pause=1000.0)
        life.keep(presence, Booted(request=BOOT, status="Accepted", interval=300, central_system="main"))
        assert life.restart().memory_of("RDAM 123", "main") == SessionMemory(boot=BOOT, presence=presence)

    def test_a_pending_one_waits_after_a_restart_too(self, life: Life) -> None:
        life.keep(Booted(request=BOOT, status="Pending", interval=300, central_system="main"))
        assert life.restart().memory_of("RDAM 123", "main").presence.pending

    @pytest.mark.parametrize(("central_system", "introduce"), [("main", False), ("other", True)])
    def test_a_central_system_that_has_not_heard_it_is_known(
        self, life: Life, central_system: str, introduce: bool
    ) -> None:
        life.keep(Booted(request=BOOT, status="Accepted", interval=300, central_system="main"))
        assert life.restart().memory_of("RDAM 123", central_system).introduce is introduce

    @pytest.mark.parametrize(
        ("ago", "presence", "there"),
        [
            (900, Presence(), True),
            (901, Presence(), False),
            (10_800, Presence(interval=3600), True),
            (10_801, Presence(interval=3600), False),
        ],
    )
    def test_who_was_heard_of_lately_is_there(self, life: Life, ago: float, presence: Presence, there: bool) -> None:
        life.persistence.heard("RDAM 123")
        life.keep(presence)
        life.clock.now += ago
        known = life.persistence.record_of("RDAM 123")
        assert known is not None
        assert life.persistence.is_there(known) is there

    def test_what_is_not_said_anew_stays(self, life: Life) -> None:
        life.persistence.heard("RDAM 123", "json")
        life.keep(Presence(interval=300), Booted(request=BOOT, status="Accepted", interval=300))
        life.persistence.heard("RDAM 123", callback=LEARNT)
        life.persistence.heard("RDAM 123", callback=None)
        known = life.restart().record_of("RDAM 123")
        assert known is not None
        assert (known.transport, known.interval, known.callback_url) == ("json", 300, LEARNT.url)
        assert life.persistence.memory_of("RDAM 123", "main").boot == BOOT

    def test_its_identity_stays_as_it_was_first_written(self, life: Life) -> None:
        life.persistence.heard("RDAM 123")
        life.clock.now += 100
        life.persistence.heard("rdam 123")
        life.keep(Presence(interval=5), identity="rdam 123")
        (record,) = life.restart().charge_points()
        assert (record.identity, record.last_seen, record.interval) == ("RDAM 123", NOW + 100, 5)
        assert life.persistence.record_of("rDAM 123") == record
        assert life.persistence.record_of("RDAM 12") is None


def restored(persistence: Persistence, networks: Iterable[Network]) -> CallbackTarget | None:
    """What is known of the Charge Point, where `networks` are admitted."""
    kept = persistence.callback_of("RDAM 123")
    return None if kept is None else kept.limited(networks)


class TestCallback:
    """The address that was learnt, with the limits under which it was."""

    @pytest.mark.parametrize(
        "learnt",
        [
            LEARNT,
            CallbackTarget(url="https://cp.example/", networks=()),
            CallbackTarget(url="http://[2001:db8::1]:80/"),
        ],
    )
    def test_it_is_there_after_a_restart(self, life: Life, learnt: CallbackTarget) -> None:
        life.persistence.heard("RDAM 123", "soap", callback=learnt)
        assert restored(life.restart(), learnt.networks or ()) == learnt

    def test_its_networks_limit_it_as_before(self, life: Life) -> None:
        life.persistence.heard("RDAM 123", "soap", callback=LEARNT)
        kept = restored(life.restart(), (ip_network("0.0.0.0/0"), ip_network("2001:db8::/64")))
        assert kept is not None
        assert [kept.admits(at) for at in ("192.0.2.7", "192.0.2.8", "2001:db8::9", "127.0.0.1")] == [
            True,
            False,
            True,
            False,
        ]

    def test_and_so_do_those_that_the_operator_admits_now(self, life: Life) -> None:
        life.persistence.heard("RDAM 123", "soap", callback=LEARNT)
        kept = restored(life.restart(), ())
        assert kept is not None and not kept.admits("2001:db8::9")

    def test_a_guess_is_still_one(self, life: Life) -> None:
        for peer in ("192.0.2.7", "2001:db8::7"):
            guess = learn("/addressing/anonymous", None, peer, Learning())
            assert isinstance(guess, CallbackTarget) and guess.guessed
            life.persistence.heard("RDAM 123", "soap", callback=guess)
            assert restored(life.restart(), ()) == guess

    def test_there_is_none_if_none_was_learnt(self, life: Life) -> None:
        life.persistence.heard("RDAM 123", "soap")
        assert restored(life.restart(), ()) is None
        assert life.persistence.callback_of("nobody") is None

    def test_one_that_cannot_be_read_is_none(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        record = ChargePointRecord(identity="RDAM 123", last_seen=NOW, transport="soap", version="1.6")
        life.put(structs.replace(record, callback_url="http://192.0.2.7/", callback_networks=("anywhere",)))
        with caplog.at_level(logging.WARNING):
            assert restored(life.restart(), ()) is None
        assert "a stored callback address cannot be read" in caplog.text


def test_who_was_never_accepted_is_a_stranger_heard_of_longest_ago_first() -> None:
    told: list[str] = []
    clock = Clock()
    persistence = Persistence(Store("memory:"), clock, told.append)

    def strangers(*spared: str) -> list[str]:
        """In the order in which they would go."""
        spare, found = set(spared), list[str]()
        while (identity := persistence.stranger(lambda folded: folded in spare, 100)) is not None:
            found.append(identity)
            spare.add(identity.casefold())
        return found

    for identity in ("Zulu", "alpha", "Mike", "booted", "moved", "rejected"):
        persistence.heard(identity)
    assert list(persistence.keys()) == ["alpha", "booted", "mike", "moved", "rejected", "zulu"]
    persistence.move("moved", "other")
    persistence.note("booted", [Presence(interval=300)])
    persistence.note("rejected", [Booted(request=BOOT, status="Rejected", interval=60)])
    assert told == ["booted"] and persistence.moved() == {"moved": "other"}
    clock.now += 100
    persistence.heard("Zulu")
    assert strangers() == ["alpha", "Mike", "rejected", "Zulu"]
    assert strangers("alpha", "zulu") == ["Mike", "rejected"]
    asked: dict[str, bool] = {}
    assert persistence.stranger(lambda folded: asked.setdefault(folded, True), 2) is None and len(asked) == 2
    persistence.note(
        "rejected", [Booted(request=BOOT, status="Accepted", interval=60)]
    )  # repeated by the bridge itself
    persistence.note("booted", [Booted(request=BOOT, status="Rejected", interval=60)])
    assert told == ["booted", "rejected"] and sorted(strangers()) == ["Mike", "Zulu", "alpha"]
    for identity in ("Mike", "moved", "nobody"):
        persistence.remove(identity)
    assert list(persistence.keys()) == ["alpha", "booted", "rejected", "zulu"]
    assert sorted(strangers()) == ["Zulu", "alpha"] and persistence.moved() == {}
