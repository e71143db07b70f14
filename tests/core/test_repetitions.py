"""Which messages are the same one, sent again, and which answer and UniqueId a repetition gets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, json, structs

from bridge.core.repetitions import Answered, Asked, Repetitions, fingerprint, kept_answer, record_of, renewed
from bridge.ocpp.rpc import CallResult, UnopenedRequest, UnopenedResponse
from tests.core.samples import (
    AUTHORIZE,
    BOOT,
    HEARTBEAT,
    REMOTE_START,
    START,
    START_CONF,
    STOP,
    STOP_CONF,
    TRIGGER,
    data,
    start,
    start_conf,
    stop,
)

DAY = 24 * 3600.0


def mark(payload: object) -> str:
    made = fingerprint(payload)
    assert made is not None
    return made


class TestFingerprint:
    def test_of_equal_messages_is_equal(self) -> None:
        assert mark(start()) == mark(start())
        assert mark(stop(7)) == mark(stop(7))

    @pytest.mark.parametrize(
        "change", [{"connectorId": 2}, {"idTag": "GAT"}, {"timestamp": "2026-03-01T12:00:01Z"}, {"meterStart": 1}]
    )
    def test_of_another_start_is_another(self, change: dict[str, Any]) -> None:
        assert mark(structs.replace(START, **change)) != mark(START)

    @pytest.mark.parametrize(
        "change", [{"transactionId": 8}, {"idTag": "TAG"}, {"timestamp": "2026-03-01T12:00:01Z"}, {"meterStop": 1}]
    )
    def test_of_another_stop_is_another(self, change: dict[str, Any]) -> None:
        assert mark(structs.replace(STOP, **change)) != mark(STOP)

    @pytest.mark.parametrize("tag", ["tag", "Tag", "TAG"])
    def test_the_letter_case_of_an_id_tag_does_not_matter(self, tag: str) -> None:
        assert mark(structs.replace(START, idTag=tag)) == mark(START)

    @pytest.mark.parametrize("when", ["2026-03-01T12:00:00.0Z", "2026-03-01T12:00:00.000000Z"])
    def test_a_time_counts_as_a_point_in_time(self, when: str) -> None:
        assert mark(structs.replace(START, timestamp=when)) == mark(START)

    @pytest.mark.parametrize("when", ["2026-03-01T12:00:00.1Z", "2026-03-01T12:00:00.010Z"])
    def test_a_fraction_of_a_second_later_is_another(self, when: str) -> None:
        assert mark(structs.replace(START, timestamp=when)) != mark(START)

    def test_other_fields_do_not_matter(self) -> None:
        """A Charge Point may have learnt more in between."""
        assert mark(structs.replace(START, reservationId=3)) == mark(START)
        assert mark(structs.replace(STOP, transactionData=())) == mark(STOP)

    def test_a_start_is_no_stop(self) -> None:
        assert mark(start(connector=7, meter=5)) != mark(structs.replace(stop(7, meter=5), idTag="TAG"))

    @pytest.mark.parametrize("payload", [HEARTBEAT, AUTHORIZE, BOOT, TRIGGER, REMOTE_START, data("x"), None, object()])
    def test_of_what_may_be_sent_twice_there_is_none(self, payload: object) -> None:
        assert fingerprint(payload) is None

    def test_of_a_frame_that_is_passed_on_is_that_of_what_was_read_in_it(self) -> None:
        assert mark(UnopenedRequest(raw=Raw(b"{}"), read=START)) == mark(START)
        assert fingerprint(UnopenedRequest(raw=Raw(b"{}"))) is None

    @given(st.text(), st.text(), st.integers(0, 59), st.integers(0, 59))
    def test_no_two_messages_look_like_one(self, tag: str, other_tag: str, second: int, other_second: int) -> None:
        first = structs.replace(START, idTag=tag, timestamp=f"2026-03-01T12:00:{second:02}Z")
        other = structs.replace(START, idTag=other_tag, timestamp=f"2026-03-01T12:00:{other_second:02}Z")
        same = (tag.casefold(), second) == (other_tag.casefold(), other_second)
        assert (mark(first) == mark(other)) == same

    def test_one_that_an_earlier_version_stored_is_renewed(self) -> None:
        stored = json.encode(("Start", 1, "TAG", "2026-03-01T12:00:00.000Z", 0)).decode()
        assert renewed(stored) == mark(START)
        assert renewed("no JSON") == "no JSON"


def started(connector: int, transaction_id: int, meter: int = 0, *, age: float = 0.0) -> Answered:
    return Answered(fingerprint=mark(start(connector, meter)), answer=start_conf(transaction_id), age=age)


def stopped(transaction_id: int) -> Answered:
    return Answered(fingerprint=mark(stop(transaction_id)), answer=STOP_CONF)


def answer_to(repetitions: Repetitions, payload: object, at: float = 0.0) -> object:
    known = repetitions.answer_to(mark(payload), at)
    return None if known is None else known.answer


class TestAnswers:
    def test_a_repetition_gets_the_answer_of_the_first_copy(self) -> None:
        repetitions = Repetitions([started(1, 7)])
        repetitions.answered(started(2, 8), 0.0)
        assert [answer_to(repetitions, start(number)) for number in (1, 2, 3)] == [start_conf(7), start_conf(8), None]

    def test_until_the_stop_of_its_transaction_is_answered(self) -> None:
        """A Charge Point without a clock sends the same values again, and means a new transaction."""
        repetitions = Repetitions([started(1, 7)])
        repetitions.answered(stopped(7), 0.0)
        assert answer_to(repetitions, start(1)) is None
        assert answer_to(repetitions, stop(7)) == STOP_CONF

    @pytest.mark.parametrize("unknown", [-1, 99])
    def test_a_stop_of_an_unknown_transaction_ends_none(self, unknown: int) -> None:
        repetitions = Repetitions([started(1, 7)])
        repetitions.answered(stopped(unknown), 0.0)
        assert answer_to(repetitions, start(1)) == start_conf(7)

    def test_a_stop_with_minus_one_ends_none_even_if_that_was_given(self) -> None:
        repetitions = Repetitions([started(1, -1)])
        repetitions.answered(stopped(-1), 0.0)
        assert answer_to(repetitions, start(1)) == start_conf(-1)

    def test_the_next_start_on_the_connector_ends_it(self) -> None:
        repetitions = Repetitions([started(1, 7), started(2, 8)])
        repetitions.answered(started(1, 9, meter=100), 0.0)
        assert [answer_to(repetitions, start(number)) for number in (1, 2)] == [None, start_conf(8)]

    def test_that_of_a_stop_ends_when_its_id_is_given_again(self) -> None:
        repetitions = Repetitions([stopped(7)])
        repetitions.answered(started(1, 7), 0.0)
        assert answer_to(repetitions, stop(7)) is None

    def test_the_same_is_known_after_a_restart(self) -> None:
        """What ended what follows from the order of the records."""
        assert answer_to(Repetitions([started(1, 7), stopped(7)]), start(1)) is None

    def test_the_oldest_is_forgotten_when_there_are_too_many(self) -> None:
        repetitions = Repetitions([started(1, 1), started(2, 2)], limit=2)
        repetitions.answered(started(3, 3), 0.0)
        known = [answer_to(repetitions, start(number)) for number in (1, 2, 3)]
        assert known == [None, start_conf(2), start_conf(3)]

    def test_after_a_week_it_is_another_message(self) -> None:
        repetitions = Repetitions([started(1, 1, age=DAY)])
        repetitions.answered(started(2, 2), 100.0)
        week = 100.0 + 7 * DAY
        known = [answer_to(repetitions, start(number), week - DAY) for number in (1, 2)]
        assert known == [start_conf(1), start_conf(2)]
        assert [answer_to(repetitions, start(number), week) for number in (1, 2)] == [None, start_conf(2)]
        assert answer_to(repetitions, start(2), week + 1) is None

    @given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.booleans()), max_size=30))
    def test_the_answers_that_are_kept_are_the_same_after_a_restart(self, steps: list[tuple[int, int, bool]]) -> None:
        repetitions = Repetitions()
        records: dict[str, Answered] = {}
        for connector, transaction_id, starts in steps:
            record = started(connector, transaction_id) if starts else stopped(transaction_id)
            repetitions.answered(record, 0.0)
            records.pop(record.fingerprint, None)
            records[record.fingerprint] = record
        again = Repetitions(records.values())
        for one in records:
            known = repetitions.answer_to(one, 0.0)
            # The answer to a StopTransaction may come back: the Start that gave its id anew may be overwritten by an
            # equal one. That does no harm, since the repetition would have to be equal in every value.
            if known is not None or one.startswith('["Start"'):
                assert again.answer_to(one, 0.0) == known

    @given(st.lists(st.tuples(st.integers(1, 3), st.integers(-1, 3), st.integers(0, 2), st.booleans()), max_size=30))
    def test_what_ends_an_answer_is_found_as_if_all_were_examined(
        self, steps: list[tuple[int, int, int, bool]]
    ) -> None:
        """Also where a Central System gives one transactionId for two connectors, or -1."""
        repetitions, kept = Repetitions(limit=5), dict[str, tuple[str, int | None, int]]()
        for connector, transaction_id, meter, starts in steps:
            if starts:
                record = started(connector, transaction_id, meter)
                over = [one for one, (kind, where, _) in kept.items() if kind == "start" and where == connector]
                over += [one for one, (kind, _, given) in kept.items() if kind == "stop" and given == transaction_id]
            else:
                payload = structs.replace(stop(transaction_id), meterStop=meter)
                record = Answered(fingerprint=mark(payload), answer=STOP_CONF)
                of = [one for one, (kind, _, given) in kept.items() if kind == "start" and given == transaction_id]
                over = of if transaction_id != -1 else []
            repetitions.answered(record, 0.0)
            for one in {*over, record.fingerprint} & kept.keys():
                del kept[one]
            kept[record.fingerprint] = ("start" if starts else "stop", connector if starts else None, transaction_id)
            for one in list(kept)[:-5]:
                del kept[one]
            every = {mark(start(number, meter)) for number in (1, 2, 3) for meter in range(3)} | {
                mark(structs.replace(stop(number), meterStop=meter)) for number in range(-1, 4) for meter in range(3)
            }
            assert {one for one in every if repetitions.answer_to(one, 0.0) is not None} == kept.keys()


class TestUniqueIds:
    def test_a_message_without_an_answer_keeps_its_unique_id(self) -> None:
        repetitions = Repetitions()
        assert repetitions.asked(mark(START), 0.0) is None
        repetitions.ask(mark(START), "h1", 0.0)
        assert repetitions.asked(mark(START), 10.0) == "h1"
        repetitions.answered(started(1, 7), 20.0)
        assert repetitions.asked(mark(START), 30.0) is None

    def test_after_a_refusal_it_is_another_message(self) -> None:
        repetitions = Repetitions()
        repetitions.ask(mark(START), "h1", 0.0)
        repetitions.refused(mark(START))
        repetitions.refused(None)
        assert repetitions.asked(mark(START), 0.0) is None

    def test_it_is_known_after_a_restart_unless_there_is_a_later_answer(self) -> None:
        asked = Asked(fingerprint=mark(START), unique_id="h1", age=50.0)
        assert Repetitions(asked=[asked]).asked(mark(START), 0.0) == "h1"
        assert Repetitions([started(1, 7, age=20.0)], [asked]).asked(mark(START), 0.0) is None
        assert Repetitions([started(1, 7, age=80.0)], [asked]).asked(mark(START), 0.0) == "h1"

    def test_nor_if_that_answer_is_over(self) -> None:
        asked = Asked(fingerprint=mark(START), unique_id="h1", age=50.0)
        assert Repetitions([started(1, 7, age=20.0), stopped(7)], [asked]).asked(mark(START), 0.0) is None

    def test_for_a_week_and_so_many(self) -> None:
        repetitions = Repetitions(limit=1)
        repetitions.ask("a", "h1", 0.0)
        repetitions.ask("b", "h2", 0.0)
        assert [repetitions.asked(one, 0.0) for one in "ab"] == [None, "h2"]
        assert repetitions.asked("b", 7 * DAY + 1) is None


class TestRecords:
    def test_only_answers_to_what_is_repeated_are_kept(self) -> None:
        answer = CallResult(unique_id="h1", payload=START_CONF)
        assert record_of(None, answer) is None
        assert record_of("m", answer) == Answered(fingerprint="m", answer=START_CONF)

    def test_of_what_is_passed_on_the_octets_are_kept_and_told_again(self) -> None:
        raw = b'{"transactionId":7,"idTagInfo":{"status":"Accepted"},"vendor":"x"}'
        payload = UnopenedResponse(raw=Raw(raw), read=START_CONF)
        record = record_of("m", CallResult(unique_id="h1", payload=payload))
        assert record is not None
        again = kept_answer(record, unread=True).payload
        assert isinstance(again, UnopenedResponse)
        assert bytes(again.raw) == raw
        assert kept_answer(record, unread=False).payload == START_CONF

    def test_what_could_not_be_read_is_not_kept(self) -> None:
        payload = UnopenedResponse(raw=Raw(b"{}"))
        assert record_of("m", CallResult(unique_id="h1", payload=payload)) is None


class TestStartsAsked:
    def test_counts_a_start_until_it_is_answered_or_too_old(self) -> None:
        repetitions = Repetitions()
        repetitions.ask(mark(start()), "id", 0.0)
        repetitions.ask(mark(stop(7)), "other", 0.0)
        assert repetitions.starts_asked(10.0, 10.0) == [START.connectorId]
        assert repetitions.starts_asked(10.1, 10.0) == []
        answered = record_of(mark(start()), CallResult(unique_id="id", payload=start_conf(7)))
        assert answered is not None
        repetitions.answered(answered, 1.0)
        assert repetitions.starts_asked(2.0, 10.0) == []

    def test_leaves_out_a_start_that_a_later_message_has_closed(self) -> None:
        repetitions = Repetitions()
        repetitions.ask(mark(start()), "id", 0.0)
        repetitions.close_starts(START.connectorId + 1)
        assert repetitions.starts_asked(1.0, 10.0) == [START.connectorId]
        repetitions.close_starts(START.connectorId)
        assert repetitions.starts_asked(1.0, 10.0) == []
        # The message itself may still be repeated, under its UniqueId.
        assert repetitions.asked(mark(start()), 1.0) == "id"
