"""What was said is found again: whole, masked, bounded, and without making anybody wait."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import ErrorCode, MessageError, UnknownIdentity, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import AuthorizeRequest, AuthorizeResponse, HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Call, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.tenants import key_of
from bridge.ocpp.types import IdTagInfo
from bridge.ocpp.wire import Octets, Transport, Wires
from bridge.recorder import Message, MessageFilter, Recorded, Recorder
from bridge.store.files import database_beside
from bridge.watching.facts import (
    AnswerDropped,
    CallEnded,
    FrameRelayed,
    HandshakeRefused,
    MessageRefused,
    RequestsUnread,
)

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
NOW = 1_800_000_000.0


@asynccontextmanager
async def recording(url: str = "memory:", **bounds: Any) -> AsyncIterator[Recorder]:
    recorder = Recorder(url, **({"clock": lambda: NOW} | bounds))
    recorder.open()
    try:
        yield recorder
    finally:
        recorder.close()


def on_wire(data: bytes, transport: Transport = "json") -> Octets:
    return Octets(transport, NOW, data)


def authorize(recorder: Recorder, identity: str = "CP 1", number: int = 1, *, late: bool = False) -> None:
    """A SOAP Charge Point asks, a JSON Central System answers; `late`: our answer's bytes come last, as they may."""
    near, far = f"n{number}", f"f{number}"
    wires = Wires(
        received=on_wire(b"<a><idTag>ANNA</idTag></a>", "soap"),
        sent=on_wire(b'[2,"f","Authorize",{"idTag":"ANNA"}]'),
        answer_received=on_wire(b'[3,"f",{"idTagInfo":{"status":"Accepted"}}]'),
    )
    told = on_wire(b"<a><status>Accepted</status></a>", "soap")
    if not late:
        wires.answer_sent = told
    call = Call(unique_id=near, action="Authorize", payload=AuthorizeRequest(idTag="ANNA"), wires=wires)
    result = CallResult(unique_id=near, payload=AuthorizeResponse(idTagInfo=IdTagInfo(status="Accepted")))  # type: ignore[arg-type]
    recorder.see(CallEnded(identity, report(call, Outcome.RESULT, result, far)))
    if late:
        wires.answer_sent = told


def report(call: Call, outcome: Outcome, answer: Any, hop_id: str | None = None, **more: Any) -> Report:
    values: dict[str, Any] = {
        "sender": CP,
        "arrived": 10.0,
        "ended": 10.25,
        "sent": None if hop_id is None else 10.1,
    } | more
    return Report(call=call, outcome=outcome, answer=answer, hop_id=hop_id, **values)


def heartbeat(recorder: Recorder, identity: str = "CP 1", unique_id: str = "h", **more: Any) -> None:
    call = Call(unique_id=unique_id, action="Heartbeat", payload=HeartbeatRequest(), wires=more.pop("wires", None))
    recorder.see(CallEnded(identity, report(call, Outcome.RESULT, CallResult(unique_id="h", payload=AT), **more)))


AT = HeartbeatResponse(currentTime="2026-01-01T00:00:00Z")


async def all_of(recorder: Recorder, limit: int = 100, **asked: Any) -> list[Message]:
    await recorder.flush()
    return (await recorder.messages(MessageFilter(**asked), limit=limit)).items


async def last_of(recorder: Recorder) -> Recorded:
    message = await recorder.message((await all_of(recorder))[0].id)
    assert message is not None
    return message


async def test_a_tenant_has_its_own_messages() -> None:
    async with recording() as recorder:
        keys = ["CP 1", key_of("acme", "CP 1"), key_of("acme", "CP 2"), key_of("acme-2", "CP 1")]
        for key in keys:
            heartbeat(recorder, key)
        recorder.see(RequestsUnread("192.0.2.1", ErrorCode.InternalError, "full", Why.BUSY, 3, key_of("acme", "")))

        async def of(tenant: str | None, **asked: Any) -> list[str]:
            return sorted(one.identity for one in await all_of(recorder, tenant=tenant, **asked))

        assert await of("") == await of("", identity_glob="cp*") == await of("", identity_glob="cp 1") == keys[:1]
        assert await of("acme") == [key_of("acme", ""), *keys[1:3]]
        assert await of("acme", identity_glob="cp*") == await of("acme", actions=("Heartbeat",)) == keys[1:3]
        assert await of("acme", identity_glob="CP 2") == await of("acme", identity=keys[2]) == keys[2:3]
        assert await of("acme-2") == keys[3:]
        assert await of("acme", identity=keys[0]) == await of("", identity=keys[1]) == await of("gone") == []
        assert len(await of(None)) == 5
        for tenant in ("", "acme"):
            for glob in ("acme\x1fcp 1", "acme\x1f*", "\x1fcp 1", "acme*"):
                assert await of(tenant, identity_glob=glob) == []
        # Who seeks in the content passes over those of others.
        assert await of("acme", text="currentTime") == keys[1:3]


@pytest.mark.parametrize("late", [False, True])
async def test_a_call_with_both_forms_on_both_hops(late: bool) -> None:
    async with recording() as recorder:
        authorize(recorder, late=late)
        message = await last_of(recorder)
        json = msgspec.json.decode(msgspec.json.encode(message))
        assert json["at"] == "2027-01-15T07:59:59.750Z" and json["from"] == "charge_point"
        assert (json["action"], json["outcome"], json["ms"]) == ("Authorize", "result", 250.0)
        assert (json["unique_id"], json["hop_id"], json["why"]) == ("n1", "f1", None)
        assert json["summary"] == "idTag *** -> Accepted"
        assert json["timings"] == {"total": 250.0, "before": 100.0, "beyond": 150.0}
        request, response = json["request"], json["response"]
        assert request["received"] == {
            "transport": "soap",
            "at": "2027-01-15T08:00:00.000Z",
            "peer": None,
            "octets": 26,
            "text": "<a><idTag>***</idTag></a>",
        }
        assert request["model"] == {"idTag": "***"}
        assert request["sent"]["text"] == '[2,"f","Authorize",{"idTag":"***"}]'
        assert response["received"]["text"] == '[3,"f",{"idTagInfo":{"status":"Accepted"}}]'
        assert response["model"] == {"idTagInfo": {"status": "Accepted"}}
        assert response["sent"]["text"] == "<a><status>Accepted</status></a>"


async def test_id_tags_are_kept_if_so_wished_and_credentials_never() -> None:
    async with recording(mask_id_tags=False) as recorder:
        authorize(recorder)
        message = await last_of(recorder)
        assert message.request.received is not None and "ANNA" in message.request.received.text
        error = MessageError(ErrorCode.ProtocolError, "no")
        recorder.see(MessageRefused.of("CP 1", "10.0.0.1", error, data=b"<a><Password>S</Password></a>"))
        message = await last_of(recorder)
        assert message.request.received is not None
        assert message.request.received.text == "<a><Password>***</Password></a>"


async def test_what_writing_cost_is_told_with_the_message() -> None:
    async with recording() as recorder:
        wires = Wires(losses=(Loss(message="HeartbeatResponse", path="x", reason=LossReason.FRACTION),))
        heartbeat(recorder, wires=wires)
        wires.answer_sent = on_wire(b"<a/>")
        message = await last_of(recorder)
        assert [(loss.message, loss.path, loss.reason) for loss in message.losses] == [
            ("HeartbeatResponse", "x", LossReason.FRACTION.value)
        ]
        assert [item.losses for item in await all_of(recorder)] == [1]


async def test_what_was_turned_away() -> None:
    async with recording() as recorder:
        broken = b'[2,"7","Authorize",{}]'
        wires = Wires(received=on_wire(broken))
        error = MessageError(ErrorCode.TypeConstraintViolation, "idTag is missing")
        recorder.see(MessageRefused.of("CP 1", None, error, "7", CP, wires=wires))
        wires.answer_sent = on_wire(b'[4,"7","TypeConstraintViolation","",{}]')
        recorder.see(
            MessageRefused.of(None, "10.0.0.1", MessageError(ErrorCode.FormationViolation, "no XML"), data=b"\xff\x00")
        )
        recorder.see(
            MessageRefused.of("CP 9", "10.0.0.2", UnknownIdentity("CP 9"), data=b"<Envelope><Body><authorizeRequest/>")
        )
        recorder.see(HandshakeRefused("CP 8", "10.0.0.3", 404, "no such place", Why.WRONG_ADDRESS))
        items = await all_of(recorder)
        assert [(item.identity, item.action, item.outcome) for item in items] == [
            ("CP 8", "", "refused"),
            ("CP 9", "Authorize", "refused"),
            ("", "", "refused"),
            ("CP 1", "Authorize", "refused"),
        ]
        assert [(item.why or "").split(".")[0] for item in items] == [
            "The WebSocket was refused with HTTP 404: no such place",
            "No route takes the Charge Point 'CP 9'",
            "No XML",
            "IdTag is missing",
        ]
        first, unreadable = await recorder.message(items[3].id), await recorder.message(items[2].id)
        assert first is not None and first.request.received is not None and first.response.sent is not None
        assert first.request.received.text == broken.decode()
        assert unreadable is not None and unreadable.request.received is not None
        assert (unreadable.request.received.peer, unreadable.request.received.octets) == ("10.0.0.1", 2)


async def test_octets_that_are_no_text() -> None:
    async with recording() as recorder:
        recorder.see(MessageRefused.of(None, "h", MessageError(ErrorCode.FormationViolation, "no"), data=b"caf\xe9 {}"))
        message = await last_of(recorder)
        assert message.request.received is not None
        assert (message.request.received.text, message.request.received.base64) == ("caf\ufffd {}", "Y2Fm6SB7fQ==")


async def test_a_frame_that_is_only_passed_on() -> None:
    async with recording() as recorder:
        recorder.see(FrameRelayed("CP 1", CP, b"[9]"))
        message = await last_of(recorder)
        assert (message.outcome, message.sender, message.action) == ("relayed", "charge_point", "")
        assert message.request.received is not None and message.request.sent is not None
        assert message.request.received.text == message.request.sent.text == "[9]"


async def test_what_does_not_come_is_not_waited_for_for_long() -> None:
    """What is written before all of it is there is written again with the rest."""
    times = [NOW]
    async with recording(clock=lambda: times[0]) as recorder:
        wires = Wires(received=on_wire(b"<a/>", "soap"))
        heartbeat(recorder, wires=wires)
        assert (await last_of(recorder)).response.sent is None
        assert recorder.waiting == 1
        wires.answer_sent = on_wire(b"<b/>", "soap")
        message = await last_of(recorder)
        assert message.response.sent is not None and message.response.sent.text == "<b/>"
        assert (recorder.waiting, len(await all_of(recorder))) == (0, 1)
        heartbeat(recorder, wires=Wires())
        times[0] += 1
        await recorder.flush()
        assert (recorder.waiting, len(await all_of(recorder))) == (0, 2)


async def test_what_is_no_text_is_lost_and_what_follows_is_not() -> None:
    async with recording() as recorder:
        told: list[Message] = []
        recorder.on_message = told.append
        error = MessageError(ErrorCode.ProtocolError, "no")
        recorder.see(MessageRefused.of("CP 1", None, error, "\ud800", CP))
        recorder.on_message = None
        heartbeat(recorder)
        assert [item.identity for item in await all_of(recorder)] == ["CP 1"]
        assert recorder.lost_messages == 1


async def test_an_answer_that_went_nowhere() -> None:
    async with recording() as recorder:
        came, why = on_wire(b'[3,"f",{}]'), "it answers no Call that is out"
        recorder.see(AnswerDropped("CP 1", Drop(party=CS, unique_id="f", reason=why, came=came)))
        message = await last_of(recorder)
        assert (message.outcome, message.hop_id) == ("dropped", "f")
        assert message.response.received is not None and message.response.received.text == '[3,"f",{}]'


async def test_a_call_that_was_not_answered_says_why() -> None:
    async with recording() as recorder:
        call = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())
        silence = Unanswered(unique_id="1", reason="ws://u:secret@h/ cannot be reached")
        recorder.see(CallEnded("CP 1", report(call, Outcome.UNANSWERED, silence)))
        (item,) = await all_of(recorder)
        assert item.why is not None and item.why.startswith("Ws://u:***@h/ cannot be reached. Is it running")


async def test_whose_call_it_was() -> None:
    async with recording() as recorder:
        heartbeat(recorder)
        heartbeat(recorder, sender=CS)
        heartbeat(recorder, sender=CS, operator=True)
        heartbeat(recorder, own=True)
        senders = [item.sender for item in await all_of(recorder)]
        assert senders == ["charge_point", "operator", "central_system", "charge_point"]


async def test_what_is_asked_for() -> None:
    async with recording() as recorder:
        for identity in ("CP 1", "CP 2", "Other"):
            heartbeat(recorder, identity)
        authorize(recorder, "CP 2")

        async def found(**asked: Any) -> list[tuple[str, str]]:
            return [(item.identity, item.action) for item in await all_of(recorder, **asked)]

        assert await found(identity_glob="cp*", actions=("Heartbeat",)) == [
            ("CP 2", "Heartbeat"),
            ("CP 1", "Heartbeat"),
        ]
        assert await found(identity_glob="[!c]*") == [("Other", "Heartbeat")]
        assert await found(identity_glob="OTHER") == [("Other", "Heartbeat")]
        assert await found(identity="cp 1") == [("CP 1", "Heartbeat")]
        assert await found(identity="cp*") == []
        assert await found(outcome="error") == [] == await found(sender="operator")
        assert len(await found(since=NOW - 1, until=NOW)) == 4
        assert await found(since=NOW) == [] == await found(until=NOW - 1)


async def test_page_by_page() -> None:
    async with recording() as recorder:
        for number in range(5):
            heartbeat(recorder, unique_id=str(number))
        await recorder.flush()
        seen, cursor = [], None
        for _ in range(3):
            page = await recorder.messages(limit=2, cursor=cursor)
            seen.append([item.unique_id for item in page.items])
            cursor = page.next
        assert (seen, cursor) == ([["4", "3"], ["2", "1"], ["0"]], None)
        with pytest.raises(ValueError, match="x"):
            await recorder.messages(cursor="x")


async def test_who_listens_is_told_the_number() -> None:
    async with recording() as recorder:
        told: list[Message] = []
        recorder.on_message = told.append
        authorize(recorder)
        recorder.see(MessageRefused.of("CP 1", None, UnknownIdentity("CP 1")))
        recorder.see(AnswerDropped("CP 1", Drop(party=CS, unique_id="f", reason="no")))
        assert list(reversed(told)) == await all_of(recorder)


async def test_bounded_by_count() -> None:
    async with recording(messages_per_charge_point=20) as recorder:
        for number in range(100):
            heartbeat(recorder, "CP 1", str(number))
            heartbeat(recorder, "CP 2", str(number)) if number < 5 else None
            if number % 7 == 0:
                await recorder.flush()
        kept = [item.unique_id for item in await all_of(recorder, identity="CP 1", limit=200)]
        assert kept == [str(number) for number in range(99, 79, -1)]
        assert len(await all_of(recorder, identity="CP 2")) == 5


async def test_bounded_by_age() -> None:
    times = [NOW]
    async with recording(max_age=60, clock=lambda: times[0]) as recorder:
        heartbeat(recorder)
        assert len(await all_of(recorder)) == 1
        times[0] += 61
        assert await all_of(recorder) == []


async def test_bounded_as_a_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    async with recording(url, max_bytes=2_000_000) as recorder:
        for number in range(100):
            for one in range(10):
                data = b"<a>" + bytes(10_000) + b"</a>"
                recorder.see(
                    MessageRefused.of(f"CP {number}-{one}", "h", UnknownIdentity("CP"), data=b"x" * 10_000 or data)
                )
            await recorder.flush()
    assert (tmp_path / "x.messages.db").stat().st_size <= 2_000_000


async def test_who_says_most_takes_the_room_of_nobody_else(tmp_path: Path) -> None:
    url, most = f"sqlite:///{tmp_path}/x.db", 20_000_000
    path = tmp_path / "x.messages.db"
    async with recording(url, max_bytes=most) as recorder:
        for number in range(20):
            for _ in range(50):
                recorder.see(MessageRefused.of(f"CP {number}", "h", UnknownIdentity("CP"), data=b"x" * 2_000))
        await recorder.flush()
        for _ in range(40):
            recorder.see(MessageRefused.of("loud", "h", UnknownIdentity("CP"), data=b"x" * 900_000))
            await recorder.flush()
            assert path.stat().st_size <= most
        kept = [await all_of(recorder, identity=f"CP {number}") for number in range(20)]
        assert [len(items) for items in kept] == [50] * 20
        loud = (await recorder.messages(MessageFilter(identity="loud"), limit=100)).items
        assert 10 <= len(loud) < 40
        assert recorder.dropped_messages == 40 - len(loud)
        # What is larger than a part of all is not kept at all.
        recorder.see(MessageRefused.of("loud", "h", UnknownIdentity("CP"), data=b"x" * 1_500_000))
        assert (await recorder.messages(MessageFilter(identity="loud"), limit=1)).items == loud[:1]
        await recorder.flush()
        assert recorder.dropped_messages == 41 - len(loud)


async def test_each_keeps_its_last_messages(tmp_path: Path) -> None:
    async with recording(f"sqlite:///{tmp_path}/x.db", max_bytes=2_000_000) as recorder:
        for number in range(40):
            recorder.see(MessageRefused.of("first", "h", UnknownIdentity("CP"), data=b"%d" % number))
        for number in range(200):
            recorder.see(MessageRefused.of(f"CP {number % 10}", "h", UnknownIdentity("CP"), data=b"x" * 20_000))
            await recorder.flush()
        assert len((await recorder.messages(MessageFilter(identity="first"), limit=100)).items) == 40
        for number in range(10):
            assert len((await recorder.messages(MessageFilter(identity=f"CP {number}"), limit=100)).items) >= 4


async def test_a_file_that_is_larger_than_it_may_be_is_made_smaller(tmp_path: Path) -> None:
    """It is of a bridge that was allowed more. As ever, those lose who have most."""
    url, path = f"sqlite:///{tmp_path}/x.db", tmp_path / "x.messages.db"
    async with recording(url, max_bytes=60_000_000) as recorder:
        for number in range(40):
            recorder.see(MessageRefused.of("quiet", "h", UnknownIdentity("CP"), data=b"%d" % number))
        for number in range(300):
            recorder.see(
                MessageRefused.of("loud", "h", UnknownIdentity("CP"), data=b"x" * (50_000 if number % 2 else 300))
            )
    path.chmod(0o644)
    before = path.stat()
    assert before.st_size > 6_000_000
    async with recording(url, max_bytes=2_000_000) as recorder:
        await recorder.flush()
        after = path.stat()
        assert after.st_size <= 2_000_000 and after.st_ino != before.st_ino
        assert after.st_mode & 0o777 == 0o600
        assert len((await recorder.messages(MessageFilter(identity="quiet"), limit=100)).items) == 40
        loud = (await recorder.messages(MessageFilter(identity="loud"), limit=1000)).items
        assert 5 <= len(loud) < 300 and recorder.dropped_messages == 300 - len(loud)
        assert [item.id for item in loud] == sorted((item.id for item in loud), reverse=True)
        heartbeat(recorder)
        assert len(await all_of(recorder, identity="CP 1")) == 1 and recorder.trouble is None
    async with recording(url, max_bytes=2_000_000) as recorder:
        assert len((await recorder.messages(MessageFilter(identity="loud"), limit=1000)).items) == len(loud)
        assert path.stat().st_size <= 2_000_000
    assert {each.name for each in tmp_path.iterdir()} == {"x.messages.db"}


async def test_a_file_that_cannot_be_made_smaller_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, path = f"sqlite:///{tmp_path}/x.db", tmp_path / "x.messages.db"
    in_the_way = tmp_path / "x.messages.db.part"

    async def use() -> None:
        async with recording(url, max_bytes=2_000_000) as recorder:
            heartbeat(recorder)
            assert await all_of(recorder, identity="CP 1") != [] and recorder.trouble is None

    async with recording(url, max_bytes=60_000_000) as recorder:
        for _ in range(100):
            recorder.see(MessageRefused.of("loud", "h", UnknownIdentity("CP"), data=b"x" * 50_000))
    in_the_way.mkdir()
    await use()
    assert "the file stays larger than recorder.max_bytes" in caplog.text
    in_the_way.rmdir()
    await use()
    assert path.stat().st_size <= 2_000_000


async def test_numbers_and_messages_outlive_the_process(tmp_path: Path) -> None:
    url, told = f"sqlite:///{tmp_path}/deep/x.db", list[Message]()
    for clock in (NOW, NOW - 3600):  # a clock that goes back
        async with recording(url, clock=lambda clock=clock: clock) as recorder:
            recorder.on_message = told.append
            authorize(recorder)
    async with recording(url) as recorder:
        assert await all_of(recorder) == list(reversed(told))
    assert int(told[0].id) < int(told[1].id)


async def test_what_waits_at_the_end_is_written(tmp_path: Path) -> None:
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        heartbeat(recorder)
    assert rows(tmp_path / "x.messages.db") == 1
    await recorder.flush()
    assert (await recorder.messages()).items == []


async def test_the_file_of_an_earlier_version_is_put_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.messages.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        heartbeat(recorder)
        assert len(await all_of(recorder)) == 1 and recorder.trouble is None
    assert (tmp_path / "x.messages.db.corrupt").exists()


async def test_the_request_is_that_of_the_frame_that_was_sent() -> None:
    """The request is read from the frame that was sent; where there is none, and none was taken, it is held itself."""
    async with recording() as recorder:
        call = Call(unique_id="n", action="Authorize", payload=AuthorizeRequest(idTag="ANNA"))
        recorder.see(CallEnded("CP 1", report(call, Outcome.UNANSWERED, None, "f")))
        message = await last_of(recorder)
        assert bytes(message.request.model) == b'{"idTag":"***"}' and message.request.sent is None
        call = msgspec.structs.replace(call, wires=Wires(sent=on_wire(b'[2,"g","Authorize",{"idTag":"ANNA"')))
        recorder.see(CallEnded("CP 1", report(call, Outcome.UNANSWERED, None, "g")))
        message = await last_of(recorder)
        assert message.request.model is None and message.request.sent is not None


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])
    finally:
        connection.close()


def spoil(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def another_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 77")
    connection.close()


async def test_a_corrupt_file_is_put_aside(tmp_path: Path) -> None:
    spoil(tmp_path / "x.messages.db")
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        heartbeat(recorder)
        assert len(await all_of(recorder)) == 1
    assert (tmp_path / "x.messages.db.corrupt").exists()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_file_that_was_not_closed_is_read_if_it_is_whole(tmp_path: Path, whole: bool) -> None:
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        for number in range(50):
            authorize(recorder, number=number)
        await recorder.flush()
        killed = (tmp_path / "x.messages.db").read_bytes()
    (tmp_path / "y.messages.db").write_bytes(killed if whole else killed[:40_000] + bytes(len(killed) - 40_000))
    async with recording(f"sqlite:///{tmp_path}/y.db") as recorder:
        assert len(await all_of(recorder)) == (50 if whole else 0)
        assert recorder.trouble is None
    assert (tmp_path / "y.messages.db.corrupt").exists() is not whole


async def test_as_many_as_come_at_once(tmp_path: Path) -> None:
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        for number in range(500):
            authorize(recorder, number=number, late=number % 2 == 0)
        assert len(await all_of(recorder, limit=1000)) == 500
        for item in (await recorder.messages(limit=1000)).items:
            message = await recorder.message(item.id)
            assert message is not None and message.response.sent is not None and message.request.sent is not None


@pytest.mark.parametrize("break_it", [lambda path: path.mkdir(), another_version])
async def test_without_a_usable_file_it_says_so_once_and_tries_again(
    tmp_path: Path, break_it: Callable[[Path], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.recorder.writer._RETRY", 0.0)
    path = tmp_path / "x.messages.db"
    with caplog.at_level(logging.WARNING, "bridge.recorder"):
        break_it(path)
        async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
            for _ in range(3):
                heartbeat(recorder)
                assert await all_of(recorder) == []
            assert (recorder.lost_messages, recorder.trouble is None) == (3, False)
            path.rmdir() if path.is_dir() else path.unlink()
            heartbeat(recorder, unique_id="again")
            assert (await all_of(recorder))[0].unique_id == "again"
            assert recorder.trouble is None
    assert [record.message.split(": ")[1] for record in caplog.records] == [
        "messages are not recorded",
        "messages are recorded again",
    ]


async def test_a_file_that_was_removed(tmp_path: Path) -> None:
    def remove() -> None:
        for path in tmp_path.iterdir():
            path.unlink()

    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        remove()
        heartbeat(recorder)
        # It is noticed when something is written, and that is written into a new file.
        assert [item.unique_id for item in await all_of(recorder)] == ["h"]
        assert (recorder.trouble, recorder.lost_messages) == (None, 0)
        assert (tmp_path / "x.messages.db").exists()


async def test_who_cannot_follow_loses_counts_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.recorder.writer.MOST", 3000)
    monkeypatch.setattr("bridge.recorder.writer.TOGETHER", 1)
    with caplog.at_level(logging.WARNING, "bridge.recorder"):
        recorder = Recorder("memory:", clock=lambda: NOW)
        heartbeat(recorder, unique_id="fits")
        heartbeat(recorder, unique_id="too much")
        authorize(recorder)
        assert (recorder.lost_messages, recorder.waiting) == (2, 1)
        recorder.open()
        assert [item.unique_id for item in await all_of(recorder)] == ["fits"]
        heartbeat(recorder, unique_id="fits again")
        assert [item.unique_id for item in await all_of(recorder)] == ["fits again", "fits"]
        recorder.close()
    assert [record.message for record in caplog.records] == [
        "the traffic left no time to record all: 2 messages more are lost"
    ]


async def test_who_gave_up_waiting_harms_nobody() -> None:
    async with recording() as recorder:
        heartbeat(recorder)
        waiting = asyncio.ensure_future(recorder.flush())
        await asyncio.sleep(0)
        waiting.cancel()
        assert len(await all_of(recorder)) == 1


async def test_what_is_passed_on_as_it_was_is_masked_on_both_sides() -> None:
    async with recording() as recorder:
        frame = b'[2,"n","Authorize",{"idTag":"ANNA"}]'
        wires = Wires(
            received=on_wire(frame),
            sent=on_wire(frame.replace(b'"n"', b'"f"')),
            answer_received=on_wire(b'[3, "f", {}]'),
            answer_sent=on_wire(b'[3,"n",{}]'),
        )
        request = UnopenedRequest(raw=msgspec.Raw(b'{"idTag":"ANNA"}'))
        call = Call(unique_id="n", action="Authorize", payload=request, wires=wires)
        response = UnopenedResponse(raw=msgspec.Raw(b"{}"))
        result = CallResult(unique_id="n", payload=response)
        recorder.see(CallEnded("CP 1", report(call, Outcome.RESULT, result, "f")))
        message = await last_of(recorder)
        halves = (message.request, message.response)
        texts = [form.text for half in halves for form in (half.received, half.sent) if form is not None]
        masked = frame.replace(b"ANNA", b"***").decode()
        assert texts == [masked, masked.replace('"n"', '"f"'), '[3, "f", {}]', '[3,"n",{}]']
        assert bytes(message.request.model) == b'{"idTag":"***"}'


def test_where_it_lies() -> None:
    assert database_beside("memory:", "messages") is None
    assert database_beside("sqlite:///var/ocpp-bridge.db", "messages") == Path("var/ocpp-bridge.messages.db")
    assert database_beside("sqlite:////var/lib/store", "messages") == Path("/var/lib/store.messages.db")


async def test_what_was_said_is_for_its_owner_to_read(tmp_path: Path) -> None:
    async with recording(f"sqlite:///{tmp_path}/x.db") as recorder:
        authorize(recorder, number=1)
        await recorder.flush()
        assert (tmp_path / "x.messages.db").stat().st_mode & 0o077 == 0
