"""The rules of bridge.core.session, one class each, as conversations (tests.core.playbook)."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest
from msgspec import structs

from bridge.core.commands import Exchange, Keep, Note, Outcome, Report, SendAnswer, SetTimer, Wake
from bridge.core.connectors import ConnectorState, LastStatus
from bridge.core.events import AnswerReceived
from bridge.core.links import Side, Status
from bridge.core.memory import Alias, SessionMemory
from bridge.core.repetitions import Answered, Asked, fingerprint
from bridge.core.silence import Presence
from bridge.core.transactions import TransactionState
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import ChargePointErrorCode, ChargePointStatus, RegistrationStatus, RemoteStartStopStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    BootNotificationRequest,
    MeterValuesRequest,
    RemoteStopTransactionRequest,
    RemoteStopTransactionResponse,
    Request,
    StatusNotificationRequest,
    StatusNotificationResponse,
)
from bridge.ocpp.rpc import CallResult, Failure
from tests.core.playbook import (
    CP,
    CS,
    JSON_CENTRAL_SYSTEM,
    JSON_CHARGE_POINT,
    RELAYED_CENTRAL_SYSTEM,
    SOAP_CENTRAL_SYSTEM,
    SOAP_CHARGE_POINT,
    Playbook,
    answers,
    calls,
    closes,
    commands,
    down,
    drops,
    keeps,
    kept,
    notes,
    opens,
    refuses,
    resumed,
    says_nothing,
    sends,
    tells,
    tells_error,
    tells_unanswered,
    up,
    wait,
)
from tests.core.playbook import LEGS as SIDES
from tests.core.samples import (
    AUTHORIZE,
    AUTHORIZE_CONF,
    BOOT,
    HEARTBEAT,
    HEARTBEAT_CONF,
    LIST_VERSION,
    LIST_VERSION_CONF,
    REMOTE_START,
    REMOTE_START_CONF,
    RESET,
    RESET_CONF,
    START,
    START_CONF,
    STOP,
    STOP_CONF,
    TRIGGER,
    TRIGGER_CONF,
    boot_conf,
    start,
    start_conf,
    stop,
    transaction,
)

LEGS = [pytest.param(*sides, id=leg) for leg, sides in SIDES.items()]


# A Keep, whatever it holds.
ANY_KEEP = Keep(key=ANY, records=ANY, exchange=ANY)


def connected(
    charge_point: Side = SOAP_CHARGE_POINT, central_system: Side = JSON_CENTRAL_SYSTEM, **settings: Any
) -> Playbook:
    """Both Links are up, and nothing was said yet."""
    return Playbook(charge_point, central_system, **settings) << up(CP) << up(CS)


class TestEveryCallGetsOneAnswerByItsDeadline:
    """Rule 1."""

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_the_answer_is_passed_on(self, charge_point: Side, central_system: Side) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT, deadline=30)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h2", RESET, deadline=30)
            << answers(CP, "h2", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            << wait(10_000 if charge_point.carries_answers else 899)
        )
        assert playbook.session.in_progress() == 0

    def test_a_refusal_is_passed_on_as_it_is(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << refuses(CS, "h1", ErrorCode.NotSupported)
            >> tells_error(CP, "c1", ErrorCode.NotSupported, "")
        )

    def test_the_answer_bears_the_unique_id_of_its_call_and_goes_where_that_came_from(self) -> None:
        assert (
            connected()
            << calls(CP, "http request 17", HEARTBEAT, unique_id="urn:uuid:a")
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "http request 17", HEARTBEAT_CONF, unique_id="urn:uuid:a")
        )

    def test_silence_is_told_at_the_deadline(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT, deadline=30)
            << wait(29.99)
            << wait(0.01)
            >> tells_unanswered(CP, "c1", "the Central System did not answer (within 30 s)")
        )

    def test_the_deadline_runs_while_waiting(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE, deadline=30)
            << wait(20)
            << calls(CP, "c2", HEARTBEAT)
            << wait(10)
            >> tells_unanswered(CP, "c1")
            >> sends(CS, "h2", HEARTBEAT, deadline=50)
            << wait(20)
            >> tells_unanswered(CP, "c2")
        )

    def test_who_waits_in_vain_is_told_why(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << calls(CP, "c2", HEARTBEAT)
            << wait(30)
            >> tells_unanswered(CP, "c1")
            >> tells_unanswered(CP, "c2", "the Central System did not answer (within 30 s: busy with an earlier Call)")
        )
        assert (
            Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
            << up(CS)
            << calls(CS, "s1", RESET)
            << wait(30)
            >> tells_unanswered(
                CS, "s1", "the Charge Point did not answer (within 30 s: it cannot be reached, not connected yet)"
            )
        )

    def test_a_call_whose_time_is_over_is_not_sent_when_the_timer_is_late(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << up(CS) << calls(CS, "s1", RESET)
        assert playbook
        playbook._stage.alarm = None
        assert playbook << wait(30.5) << up(CP) >> tells_unanswered(CS, "s1")

    def test_an_answer_that_the_timer_let_through_is_used(self) -> None:
        playbook = connected() << calls(CP, "c1", START) >> sends(CS, "h1", START)
        assert playbook
        playbook._stage.alarm = None
        assert playbook << wait(30.5) << answers(CS, "h1", START_CONF) >> tells(CP, "c1", START_CONF)

    @pytest.mark.parametrize("timeout", [1.0, 7.5, 120.0])
    def test_the_time_is_a_term(self, timeout: float) -> None:
        assert (
            connected(call_timeout=timeout)
            << wait(3)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT, deadline=3 + timeout)
            << wait(timeout)
            >> tells_unanswered(CP, "c1")
        )


class TestOneCallIsOutPerDirection:
    """Rule 2."""

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_others_wait_in_the_order_of_their_arrival(self, charge_point: Side, central_system: Side) -> None:
        assert (
            connected(charge_point, central_system)
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", STOP)
            << calls(CP, "c3", HEARTBEAT)
            << answers(CS, "h1", START_CONF)
            >> sends(CS, "h2", STOP)
            >> tells(CP, "c1", START_CONF)
            << answers(CS, "h2", STOP_CONF)
            >> sends(CS, "h3", HEARTBEAT)
            >> tells(CP, "c2", STOP_CONF)
        )

    def test_the_central_systems_calls_wait_likewise(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s2", LIST_VERSION)
            << refuses(CP, "h1")
            >> tells_error(CS, "s1", ErrorCode.InternalError)
            >> sends(CP, "h2", LIST_VERSION)
        )

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_an_authorize_inside_a_remote_start_does_not_deadlock(
        self, charge_point: Side, central_system: Side
    ) -> None:
        """Rule 87 of the field: AuthorizeRemoteTxRequests."""
        assert (
            connected(charge_point, central_system)
            << calls(CS, "s1", REMOTE_START)
            >> sends(CP, "h1", REMOTE_START)
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h2", AUTHORIZE)
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            << answers(CP, "h1", REMOTE_START_CONF)
            >> tells(CS, "s1", REMOTE_START_CONF)
        )

    def test_both_directions_may_bear_the_same_unique_id(self) -> None:
        assert (
            connected()
            << calls(CS, "1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CP, "1", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << answers(CS, "h2", HEARTBEAT_CONF)
            >> tells(CP, "1", HEARTBEAT_CONF)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "1", RESET_CONF)
        )


class TestAUniqueIdInProgressNamesNoSecondCall:
    """Rule 3."""

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_the_second_is_refused_and_the_first_unaffected(self, charge_point: Side, central_system: Side) -> None:
        assert (
            connected(charge_point, central_system)
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c1", HEARTBEAT)
            >> tells_error(CP, "c1", ErrorCode.ProtocolError, "a Call with the UniqueId 'c1' is in progress")
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
        )

    def test_while_it_waits_too(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s2", LIST_VERSION)
            << calls(CS, "s2", REMOTE_START)
            >> tells_error(CS, "s2", ErrorCode.ProtocolError)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            >> sends(CP, "h2", LIST_VERSION)
        )

    def test_afterwards_it_names_another(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_a_call_that_nobody_waits_for_does_not_keep_its_name(self) -> None:
        """A retry after a reconnection may bear the old UniqueId (rule 13 of the field)."""
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << down(CP)
            << up(CP)
            << calls(CP, "c1", AUTHORIZE)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> drops(CS, "h1")
            >> sends(CS, "h2", AUTHORIZE)
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
        )

    def test_nor_for_another_that_is_being_put_away_or_waits_for_it(self) -> None:
        """What is in progress is more than what waits or is out."""
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, showing=(Keep,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", START)
            << calls(CP, "c2", HEARTBEAT)
            >> tells_error(CP, "c2", ErrorCode.ProtocolError)
            << answers(CS, "h1", START_CONF)
            >> ANY_KEEP
            << calls(CP, "c1", HEARTBEAT)
            >> tells_error(CP, "c1", ErrorCode.ProtocolError)
            << calls(CP, "c2", STOP)
            >> tells_error(CP, "c2", ErrorCode.ProtocolError)
            << kept("h1")
            >> tells(CP, "c1", START_CONF)
            >> tells(CP, "c2", START_CONF)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
        )


class TestAnAnswerIsMatchedByTheUniqueIdOfItsHop:
    """Rule 4."""

    def test_a_late_answer_goes_nowhere(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << wait(30)
            >> tells_unanswered(CP, "c1")
            << calls(CP, "c2", AUTHORIZE)
            >> sends(CS, "h2", AUTHORIZE)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> drops(CS, "h1")
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c2", AUTHORIZE_CONF)
        )

    def test_a_second_answer_goes_nowhere(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            << refuses(CS, "h1")
            >> drops(CS, "h1")
        )

    @pytest.mark.parametrize("wrong", ["h2", "c1", "", "H1"])
    def test_an_unknown_unique_id_goes_nowhere(self, wrong: str) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << answers(CS, wrong, AUTHORIZE_CONF)
            >> drops(CS, wrong)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
        )

    def test_nobody_answers_for_another(self) -> None:
        """The UniqueId is right, but the Call went to the other party."""
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << answers(CP, "h1", AUTHORIZE_CONF)
            >> drops(CP, "h1")
        )

    def test_an_answer_to_nothing_goes_nowhere(self) -> None:
        assert connected() << answers(CS, "h1", AUTHORIZE_CONF) >> drops(CS, "h1")


class TestALinkIsDialledWhenACallNeedsItAndAgainWhenItIsLost:
    """Rule 5."""

    def test_the_first_call_opens_it(self) -> None:
        assert (
            Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
            << up(CP)
            << wait(100)
            << calls(CP, "c1", BOOT)
            >> opens(CS)
            << calls(CP, "c2", HEARTBEAT)
            << up(CS)
            >> sends(CS, "h1", BOOT, deadline=130)
        )

    def test_who_cannot_be_dialled_is_not(self) -> None:
        assert (
            Playbook(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << up(CS)
            << calls(CS, "s1", RESET)
            << wait(29)
            << up(CP)
            >> sends(CP, "h1", RESET, deadline=30)
        )

    def test_lost_it_is_dialled_again_after_a_pause(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            << down(CS)
            << wait(0.99)
            << wait(0.01)
            >> opens(CS)
            << up(CS)
            << wait(800)
        )

    def test_the_pause_doubles_up_to_a_minute(self) -> None:
        playbook = (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
        )
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60]:
            playbook = playbook << down(CS) << wait(pause - 0.01) << wait(0.01) >> opens(CS)
        assert playbook

    @pytest.mark.parametrize("chance", [0.0, 0.5, 0.9999])
    def test_chance_spreads_the_first_attempt_over_some_seconds(self, chance: float) -> None:
        """1000 Charge Points whose Central System restarts do not come back in one second."""
        playbook = self.heard(chance=lambda: chance) << down(CS)
        assert playbook << wait(1 + 5 * chance - 0.001) << wait(0.002) >> opens(CS)
        playbook = self.heard(chance=lambda: chance, spread=100.0, reconnect_min=10.0) << down(CS)
        assert playbook << wait(10 + 100 * chance - 0.001) << wait(0.002) >> opens(CS)

    @pytest.mark.parametrize("chance", [0.0, 0.5, 0.9999])
    def test_a_call_does_not_wait_for_that(self, chance: float) -> None:
        assert (
            self.heard(chance=lambda: chance)
            << down(CS)
            << calls(CP, "c2", AUTHORIZE)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h2", AUTHORIZE)
            << wait(20)
        )

    def test_but_for_one_that_failed_before(self) -> None:
        assert (
            self.heard()
            << down(CS)
            << calls(CP, "c2", AUTHORIZE)
            >> opens(CS)
            << down(CS)
            >> tells_unanswered(CP, "c2")
            << calls(CP, "c3", AUTHORIZE)
            << wait(1.99)
            << wait(0.01)
            >> opens(CS)
        )

    @pytest.mark.parametrize(("chance", "share"), [(0.0, 1.0), (0.5, 0.75), (0.9999, 0.50005)])
    def test_chance_takes_up_to_half_of_the_pauses_after_that(self, chance: float, share: float) -> None:
        playbook = self.heard(chance=lambda: chance) << down(CS) << wait(1 + 5 * chance + 0.001) >> opens(CS)
        for pause in [2, 4, 8, 16, 32, 60, 60]:
            playbook = playbook << down(CS) << wait(pause * share - 0.001) << wait(0.002) >> opens(CS)
        assert playbook

    def heard(self, **terms: Any) -> Playbook:
        """The Charge Point was there, and the Central System as well."""
        return (
            connected(**terms)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
        )

    def test_a_connection_alone_does_not_make_the_pause_short_again(self) -> None:
        """A Central System that accepts and hangs up at once is no better than one that refuses."""
        playbook = connected() << calls(CP, "c1", HEARTBEAT) >> sends(CS, "h1", HEARTBEAT)
        playbook = playbook << answers(CS, "h1", HEARTBEAT_CONF) >> tells(CP, "c1", HEARTBEAT_CONF)
        for pause in [1, 2, 4, 8]:
            playbook = playbook << down(CS) << wait(pause - 0.01) << wait(0.01) >> opens(CS) << up(CS)
        assert playbook

    @pytest.mark.parametrize("heard", [answers(CS, "h9", HEARTBEAT_CONF), calls(CS, "s1", RESET)])
    def test_a_word_of_the_central_system_does(self, heard: object) -> None:
        playbook = connected() << calls(CP, "c1", HEARTBEAT) >> sends(CS, "h1", HEARTBEAT)
        playbook = playbook << answers(CS, "h1", HEARTBEAT_CONF) >> tells(CP, "c1", HEARTBEAT_CONF)
        for pause in [1, 2, 4, 8]:
            playbook = playbook << down(CS) << wait(pause) >> opens(CS)
        assert playbook << up(CS)
        playbook.session.handle(heard)  # type: ignore[arg-type]
        assert playbook << down(CS) << wait(0.99) << wait(0.01) >> opens(CS)

    def test_a_word_of_the_charge_point_does_not(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << calls(CP, "c1", HEARTBEAT) >> opens(CS)
        for number, pause in enumerate([1, 2, 4, 8, 16], 2):
            playbook = playbook << down(CS) >> tells_unanswered(CP, f"c{number - 1}")
            playbook = playbook << wait(pause - 0.01) << calls(CP, f"c{number}", HEARTBEAT) << wait(0.01) >> opens(CS)
        assert playbook

    def test_it_is_not_dialled_again_for_a_charge_point_that_is_silent(self) -> None:
        assert (
            connected(idle_default=10.0)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            << wait(9.5)
            << down(CS)
            << wait(10_000)
            << calls(CP, "c2", HEARTBEAT)
            >> opens(CS)
        )

    def test_a_link_that_is_opening_is_not_opened_again(self) -> None:
        assert (
            Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
            << calls(CP, "c1", HEARTBEAT)
            >> opens(CS)
            << wait(29)
            << calls(CP, "c2", HEARTBEAT)
            << wait(1)
            >> tells_unanswered(CP, "c1")
            << wait(29)
            >> tells_unanswered(CP, "c2")
            << up(CS)
            << wait(100)
        )


class TestWhatWaitsForALinkIsRefusedWhenDialingFailed:
    """Rule 6."""

    def test_at_once_and_all_of_it(self) -> None:
        assert (
            Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
            << calls(CP, "c1", BOOT)
            >> opens(CS)
            << calls(CP, "c2", HEARTBEAT)
            << down(CS, reason="HTTP 404")
            >> tells_unanswered(CP, "c1", "the Central System did not answer (HTTP 404)")
            >> tells_unanswered(CP, "c2", "the Central System did not answer (HTTP 404)")
        )

    def test_not_while_the_next_attempt_is_near(self) -> None:
        assert (
            Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
            << calls(CP, "c1", BOOT)
            >> opens(CS)
            << down(CS)
            >> tells_unanswered(CP, "c1")
            << calls(CP, "c2", BOOT)
            << wait(1)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h1", BOOT)
        )

    def test_at_once_while_it_is_far(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << calls(CP, "c1", BOOT) >> opens(CS)
        playbook = playbook << down(CS, reason="refused") >> tells_unanswered(CP, "c1")
        for pause in [1, 2, 4]:
            playbook = playbook << wait(pause) >> opens(CS) << down(CS, reason="refused")
        assert (
            playbook
            << calls(CP, "c2", BOOT)
            >> tells_unanswered(CP, "c2", "the Central System did not answer (refused)")
            << wait(3)
            << calls(CP, "c3", BOOT)
            << wait(5)
            >> opens(CS)
            << down(CS)
            >> tells_unanswered(CP, "c3")
        )

    def test_what_waits_when_a_link_that_was_up_is_lost_is_not_refused(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", STOP)
            << down(CS)
            >> tells_unanswered(CP, "c1")
            >> opens(CS)
            << wait(1)
            << up(CS)
            >> sends(CS, "h2", STOP, deadline=30)
        )

    def test_a_soap_central_system_cannot_be_dialled_at_all(self) -> None:
        """That it refuses a connection is known at once, and who waits is told."""
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", HEARTBEAT)
            << calls(CP, "c3", START)
            << down(CS, "h1", reason="connection refused")
            >> tells_unanswered(CP, "c1", "the Central System did not answer (connection refused)")
            >> tells_unanswered(CP, "c3", "the Central System did not answer (connection refused)")
            >> tells_unanswered(CP, "c2", "the Central System did not answer (connection refused)")
            << calls(CP, "c4", START)
            >> sends(CS, "h1", START)
        )


class TestACallThatWasOutWhenItsLinkWasLost:
    """Rule 7."""

    @pytest.mark.parametrize("undelivered", [None, "h0", "c1"])
    def test_it_may_have_arrived_and_is_unanswered(self, undelivered: str | None) -> None:
        assert (
            connected()
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << down(CS, undelivered, reason="reset")
            >> tells_unanswered(CP, "c1", "the Central System did not answer (reset)")
        )

    def test_one_that_certainly_did_not_arrive_waits_first_in_its_lane(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", STOP)
            << down(CS, "h1")
            >> opens(CS)
            << wait(1)
            << up(CS)
            >> sends(CS, "h1", START, deadline=30)
            << answers(CS, "h1", START_CONF)
            >> sends(CS, "h2", STOP)
            >> tells(CP, "c1", START_CONF)
        )

    def test_undelivered_to_a_soap_charge_point_it_waits_for_the_address(self) -> None:
        """DESIGN section 5: it waits inside its deadline for the Charge Point's next message."""
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s2", LIST_VERSION)
            << wait(2)
            << down(CP, "h1", reason="connection refused")
            << wait(20)
            << up(CP)
            >> sends(CP, "h2", RESET, deadline=30)
            << answers(CP, "h2", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            >> sends(CP, "h3", LIST_VERSION)
        )

    def test_until_its_deadline(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << wait(2)
            << down(CP, "h1", reason="connection refused")
            << wait(28)
            >> tells_unanswered(
                CS, "s1", "the Charge Point did not answer (within 30 s: it cannot be reached, connection refused)"
            )
            << up(CP)
        )

    def test_a_post_that_brings_nothing_back_is_unanswered(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << says_nothing(CP, "h1", "an HTML page")
            >> tells_unanswered(CS, "s1", "an HTML page")
        )

    def test_a_post_under_way_is_not_lost_with_the_address(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << down(CP, reason="IdentityMismatch")
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
        )

    def test_what_nobody_waits_for_is_not_sent_again(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << down(CP)
            << down(CS, "h1")
            << up(CP)
            << up(CS)
            << wait(100)
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.ABANDONED]


class TestAPartyWhoseAnswersTravelOnItsLinkGetsNoneAfterIt:
    """Rule 8."""

    def test_what_is_out_ends_by_itself(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << down(CP)
            << up(CP)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> drops(CS, "h1")
        )
        (report,) = playbook.reports
        assert (report.outcome, report.answer, report.hop_id) == (Outcome.ABANDONED, None, "h1")

    def test_or_at_its_deadline_and_in_silence(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << down(CP)
            << wait(30)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> drops(CS, "h1")
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.ABANDONED]
        assert playbook.session.in_progress() == 0

    def test_what_waits_is_not_sent(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << calls(CP, "c2", HEARTBEAT)
            << down(CP)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> drops(CS, "h1")
            << wait(100)
        )
        assert [report.hop_id for report in playbook.reports] == [None, "h1"]

    def test_it_holds_for_the_central_system_too(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << down(CS)
            << answers(CP, "h1", RESET_CONF)
            >> drops(CP, "h1")
        )

    def test_a_party_that_posts_gets_its_answer_all_the_same(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << down(CP)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
        )

    def test_what_it_was_asked_is_unanswered(self) -> None:
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << down(CP, reason="1006")
            >> tells_unanswered(CS, "s1", "the Charge Point did not answer (1006)")
        )


class TestTheLinkIsClosedWhenTheChargePointIsSilent:
    """Rule 9."""

    def boot(self, interval: int, *, idle_default: float = 0.0) -> Playbook:
        return (
            connected(idle_default=idle_default)
            << calls(CP, "c1", BOOT)
            >> sends(CS, "h1", BOOT)
            << answers(CS, "h1", boot_conf(interval))
            >> tells(CP, "c1", boot_conf(interval))
        )

    def test_after_three_heartbeats(self) -> None:
        assert self.boot(60) << wait(179.99) << wait(0.01) >> closes(CS)

    def test_the_last_interval_counts(self) -> None:
        assert (
            self.boot(60)
            << calls(CP, "c2", BOOT)
            >> sends(CS, "h2", BOOT)
            << answers(CS, "h2", boot_conf(10))
            >> tells(CP, "c2", boot_conf(10))
            << wait(29.99)
            << wait(0.01)
            >> closes(CS)
        )

    @pytest.mark.parametrize("interval", [0, -5])
    def test_an_interval_that_is_none_is_not_known(self, interval: int) -> None:
        assert self.boot(interval, idle_default=900.0) << wait(899.99) << wait(0.01) >> closes(CS)

    def test_not_before_a_quarter_of_an_hour(self) -> None:
        assert self.boot(60, idle_default=900.0) << wait(899.99) << wait(0.01) >> closes(CS)

    def test_every_word_of_the_charge_point_begins_it_anew(self) -> None:
        assert (
            self.boot(60)
            << wait(170)
            << calls(CP, "c2", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << answers(CS, "h2", HEARTBEAT_CONF)
            >> tells(CP, "c2", HEARTBEAT_CONF)
            << wait(170)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h3", RESET)
            << answers(CP, "h3", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            << wait(509.99)  # three times the longest pause
            << wait(0.01)
            >> closes(CS)
        )

    def test_a_post_that_it_did_not_answer_is_no_word(self) -> None:
        assert (
            self.boot(60)
            << wait(170)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h2", RESET)
            << says_nothing(CP, "h2")
            >> tells_unanswered(CS, "s1")
            << wait(10)
            >> closes(CS)
        )

    def test_nor_is_a_word_of_the_central_system(self) -> None:
        assert (
            self.boot(60) << wait(170) << answers(CS, "h7", HEARTBEAT_CONF) >> drops(CS, "h7") << wait(10) >> closes(CS)
        )

    def test_not_while_a_call_is_in_progress(self) -> None:
        assert (
            self.boot(3)
            << calls(CP, "c2", AUTHORIZE)
            >> sends(CS, "h2", AUTHORIZE)
            << wait(20)
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c2", AUTHORIZE_CONF)
            >> closes(CS)
        )

    def test_not_while_the_charge_point_has_a_connection_of_its_own(self) -> None:
        assert (
            connected(JSON_CHARGE_POINT, JSON_CENTRAL_SYSTEM, idle_default=0.0)
            << calls(CP, "c1", BOOT)
            >> sends(CS, "h1", BOOT)
            << answers(CS, "h1", boot_conf(5))
            >> tells(CP, "c1", boot_conf(5))
            << wait(10_000)
            << down(CP)
            >> closes(CS)
        )

    def test_its_next_call_opens_it_at_once(self) -> None:
        assert (
            self.boot(60)
            << wait(180)
            >> closes(CS)
            << wait(10_000)
            << calls(CP, "c2", HEARTBEAT)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_that_it_is_down_then_leads_to_nothing(self) -> None:
        """The Central System may hang up while we do."""
        assert self.boot(60) << wait(180) >> closes(CS) << down(CS) << wait(10_000)


class TestWhatATriggerMessageTriggersIsPassedOnAfterItsAnswer:
    """Rule 10."""

    def triggered(self) -> Playbook:
        return connected() << calls(CS, "s1", TRIGGER) >> sends(CP, "h1", TRIGGER)

    def test_the_answer_goes_first(self) -> None:
        assert (
            self.triggered()
            << calls(CP, "c1", HEARTBEAT)
            << wait(0.5)
            << answers(CP, "h1", TRIGGER_CONF)
            >> tells(CS, "s1", TRIGGER_CONF)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_if_it_is_near(self) -> None:
        assert (
            self.triggered()
            << calls(CP, "c1", HEARTBEAT)
            << wait(0.99)
            << wait(0.01)
            >> sends(CS, "h2", HEARTBEAT, deadline=30)
            << answers(CS, "h2", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            << answers(CP, "h1", TRIGGER_CONF)
            >> tells(CS, "s1", TRIGGER_CONF)
        )

    def test_other_calls_are_not_held(self) -> None:
        assert self.triggered() << calls(CP, "c1", AUTHORIZE) >> sends(CS, "h2", AUTHORIZE)

    def test_order_is_kept_behind_what_is_held(self) -> None:
        assert (
            self.triggered()
            << calls(CP, "c1", HEARTBEAT)
            << calls(CP, "c2", AUTHORIZE)
            << wait(1)
            >> sends(CS, "h2", HEARTBEAT)
            << answers(CS, "h2", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            >> sends(CS, "h3", AUTHORIZE)
        )

    def test_what_came_before_the_trigger_was_sent_is_not_held(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << calls(CP, "c2", HEARTBEAT)
            << wait(1)
            << calls(CS, "s1", TRIGGER)
            >> sends(CP, "h2", TRIGGER)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            >> sends(CS, "h3", HEARTBEAT)
        )

    def test_once_the_grace_is_over_nobody_is_woken_for_it_again(self) -> None:
        """The Central System is busy, so that what was held waits on."""
        playbook = connected(showing=(SetTimer,))
        assert (
            playbook
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            >> SetTimer(at=30)
            << calls(CS, "s1", TRIGGER)
            >> sends(CP, "h2", TRIGGER)
            << calls(CP, "c2", HEARTBEAT)
            >> SetTimer(at=1)
            << wait(5)
            >> SetTimer(at=30)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            >> sends(CS, "h3", HEARTBEAT)
        )


class TestAnAddressThatDidNotAnswerIsTriedAgain:
    """Rule 11."""

    def lost(self) -> Playbook:
        return connected() << calls(CS, "s1", RESET) >> sends(CP, "h1", RESET) << wait(1) << down(CP, "h1")

    def test_for_the_next_call(self) -> None:
        assert (
            self.lost()
            << calls(CS, "s2", LIST_VERSION)
            >> sends(CP, "h2", RESET)
            << answers(CP, "h2", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            >> sends(CP, "h3", LIST_VERSION)
            << answers(CP, "h3", LIST_VERSION_CONF)
            >> tells(CS, "s2", LIST_VERSION_CONF)
        )

    def test_when_its_charge_point_is_heard_of(self) -> None:
        assert self.lost() << calls(CP, "c1", HEARTBEAT) >> sends(CP, "h2", RESET) >> sends(CS, "h3", HEARTBEAT)

    def test_and_heard_of_while_the_post_was_under_way(self) -> None:
        """A connection to a dead address fails long after a message brought the new one."""
        assert (
            connected()
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << wait(3)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << wait(7)
            << down(CP, "h1")
            >> sends(CP, "h3", RESET, deadline=30)
            << wait(1)
            << down(CP, "h3")
            << wait(10)
        )

    def test_an_address_that_was_never_told_is_not_tried(self) -> None:
        assert (
            Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << up(CS)
            << calls(CS, "s1", RESET)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << calls(CS, "s2", RESET)
            << up(CP)
            >> sends(CP, "h2", RESET)
        )

    @pytest.mark.parametrize("sender", [CP, CS])
    def test_a_soap_central_system_is_tried_again_likewise(self, sender: Party) -> None:
        """Who calls may be called."""
        playbook = (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << down(CS, "h1")
            >> tells_unanswered(CP, "c1")
            << wait(1)
        )
        assert playbook
        assert playbook.session.links[CS].status is Status.DOWN
        if sender is CS:
            assert playbook << calls(CS, "s1", RESET) >> sends(CP, "h2", RESET)
            assert playbook.session.links[CS].status is Status.UP
        else:
            assert playbook << calls(CP, "c2", STOP) >> sends(CS, "h2", STOP)

    def test_a_websocket_is_not_up_because_somebody_calls(self) -> None:
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << down(CP)
            << calls(CS, "s1", RESET)
            << wait(5)
            << up(CP)
            >> sends(CP, "h1", RESET)
        )


class TestARepetitionIsNotSentTwice:
    """Rule 12."""

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_while_the_first_is_out_it_waits_for_its_answer(self, charge_point: Side, central_system: Side) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", start())
            << calls(CP, "c3", start())
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
            >> tells(CP, "c2", START_CONF)
            >> tells(CP, "c3", START_CONF)
            << wait(1)
        )
        outcomes = [(report.call.unique_id, report.outcome, report.hop_id) for report in playbook.reports]
        assert outcomes == [
            ("c1", Outcome.RESULT, "h1"),
            ("c2", Outcome.REPEATED, None),
            ("c3", Outcome.REPEATED, None),
        ]
        assert playbook.session.in_progress() == 0

    def test_what_reading_the_answer_cost_is_told_once(self) -> None:
        loss = Loss(message="StartTransactionResponse", path="idTagInfo.colour", reason=LossReason.UNKNOWN_FIELD)
        answer = CallResult(unique_id="h1", payload=START_CONF, losses=(loss,))
        playbook = connected() << calls(CP, "c1", START) >> sends(CS, "h1", START) << calls(CP, "c2", start())
        playbook = playbook << AnswerReceived(at=0, party=CS, answer=answer)
        assert (
            playbook
            >> SendAnswer(party=CP, key="c1", answer=structs.replace(answer, unique_id="c1"))
            >> tells(CP, "c2", START_CONF)
            << calls(CP, "c3", start())
            >> tells(CP, "c3", START_CONF)
        )

    def test_while_the_first_waits_too(self) -> None:
        playbook = connected() << calls(CP, "c1", AUTHORIZE) >> sends(CS, "h1", AUTHORIZE) << calls(CP, "c2", STOP)
        assert playbook << calls(CP, "c3", stop(7))
        assert playbook.session.in_progress() == 3
        assert (
            playbook
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            >> sends(CS, "h2", STOP)
            << answers(CS, "h2", STOP_CONF)
            >> tells(CP, "c2", STOP_CONF)
            >> tells(CP, "c3", STOP_CONF)
        )

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_once_the_first_is_answered_it_gets_that_answer(self, charge_point: Side, central_system: Side) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
            << wait(600)
            << calls(CP, "c2", start(), unique_id="urn:uuid:another")
            >> tells(CP, "c2", START_CONF, unique_id="urn:uuid:another")
            << calls(CP, "c1", start())
            >> tells(CP, "c1", START_CONF)
        )
        assert [report.outcome for report in playbook.reports[1:]] == [Outcome.REPEATED, Outcome.REPEATED]

    @pytest.mark.parametrize(
        "other",
        [start(connector=2), start(meter=1), stop(8), stop(7, meter=1), REMOTE_START],
    )
    def test_what_is_not_the_same_is_sent(self, other: Request) -> None:
        assert (
            connected()
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
            << calls(CP, "c2", STOP)
            >> sends(CS, "h2", STOP)
            << answers(CS, "h2", STOP_CONF)
            >> tells(CP, "c2", STOP_CONF)
            << calls(CP, "c3", other)
            >> sends(CS, "h3", other)
        )

    def test_other_messages_are_sent_as_often_as_they_come(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << calls(CP, "c2", HEARTBEAT)
            << answers(CS, "h1", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_a_refusal_is_shared_and_not_remembered(self) -> None:
        playbook = connected()
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", START)
            << refuses(CS, "h1")
            >> tells_error(CP, "c1", ErrorCode.InternalError)
            >> tells_error(CP, "c2", ErrorCode.InternalError)
            << calls(CP, "c3", START)
            >> sends(CS, "h2", START)
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.ERROR, Outcome.REPEATED]

    def test_silence_likewise(self) -> None:
        """The deadline of the first is the deadline of all."""
        playbook = connected()
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << wait(20)
            << calls(CP, "c2", START)
            << wait(10)
            >> tells_unanswered(CP, "c1")
            >> tells_unanswered(CP, "c2")
            << calls(CP, "c3", START)
            >> sends(CS, "h1", START)
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.UNANSWERED, Outcome.UNANSWERED]

    def test_a_frame_that_is_sent_again_gets_one_answer(self) -> None:
        """Rule 19. A second answer, or a refusal, could be taken for that of the next Call."""
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << calls(CP, "c1", stop(7))
            << answers(CS, "h1", STOP_CONF)
            >> tells(CP, "c1", STOP_CONF)
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.RETRANSMITTED, Outcome.RESULT]

    def test_a_charge_point_that_reconnects_gets_the_answer_that_it_missed(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << down(CP)
            << answers(CS, "h1", STOP_CONF)
            << up(CP)
            << calls(CP, "c1", stop(7))
            >> tells(CP, "c1", STOP_CONF)
        )
        assert [(report.outcome, report.hop_id) for report in playbook.reports] == [
            (Outcome.ABANDONED, "h1"),
            (Outcome.REPEATED, None),
        ]

    def test_or_waits_for_it_if_it_is_still_to_come(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << down(CP)
            << up(CP)
            << calls(CP, "c2", stop(7))
            << down(CP)
            << up(CP)
            << calls(CP, "c3", stop(7))
            << answers(CS, "h1", STOP_CONF)
            >> tells(CP, "c3", STOP_CONF)
        )
        assert [report.outcome for report in playbook.reports] == [
            Outcome.ABANDONED,
            Outcome.ABANDONED,
            Outcome.REPEATED,
        ]

    def test_a_restart_forgets_nothing(self) -> None:
        known = Answered(fingerprint=fingerprint(START) or "", answer=START_CONF)
        assert (
            connected(memory=SessionMemory(answered=(known,)))
            << calls(CP, "c1", start())
            >> tells(CP, "c1", START_CONF)
        )


class TestAnAnswerIsKeptBeforeItIsTold:
    """Rule 12: a Charge Point believes what it was told, whatever happens to us."""

    START_RECORD = Answered(fingerprint=fingerprint(START) or "", answer=START_CONF)

    def answered(self, charge_point: Side = SOAP_CHARGE_POINT, central_system: Side = JSON_CENTRAL_SYSTEM) -> Playbook:
        return (
            connected(charge_point, central_system, showing=(Keep,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << wait(10)
            << answers(CS, "h1", START_CONF)
            >> keeps("h1", transaction(7), self.START_RECORD)
        )

    def test_it_is_told_when_it_is_kept(self) -> None:
        assert self.answered() << wait(5) << kept("h1") >> tells(CP, "c1", START_CONF) << wait(100)

    def test_others_are_sent_meanwhile(self) -> None:
        assert (
            self.answered()
            << calls(CP, "c2", AUTHORIZE)
            >> sends(CS, "h2", AUTHORIZE)
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c2", AUTHORIZE_CONF)
            << kept("h1")
            >> tells(CP, "c1", START_CONF)
        )

    def test_a_store_that_hangs_keeps_nobody_waiting(self) -> None:
        playbook = self.answered()
        assert playbook << wait(19.99) << wait(0.01) >> tells(CP, "c1", START_CONF) << kept("h1") << wait(100)
        assert [report.outcome for report in playbook.reports] == [Outcome.RESULT]

    def test_what_is_not_there_to_be_told_is_not(self) -> None:
        assert self.answered() << kept("h2") << kept("c1") << kept("h1") >> tells(CP, "c1", START_CONF) << kept("h1")

    def test_a_repetition_is_not_told_earlier(self) -> None:
        assert (
            self.answered()
            << calls(CP, "c2", start())
            << wait(1)
            << kept("h1")
            >> tells(CP, "c1", START_CONF)
            >> tells(CP, "c2", START_CONF)
        )

    def test_nor_one_on_a_new_connection(self) -> None:
        playbook = self.answered(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << down(CP)
            << up(CP)
            << calls(CP, "c1", start())
            << wait(1)
            << kept("h1")
            >> tells(CP, "c1", START_CONF)
        )
        assert [report.outcome for report in playbook.reports] == [Outcome.ABANDONED, Outcome.REPEATED]

    def test_a_second_answer_meanwhile_goes_nowhere(self) -> None:
        assert self.answered() << refuses(CS, "h1") >> drops(CS, "h1") << kept("h1") >> tells(CP, "c1", START_CONF)

    def test_the_link_may_go_meanwhile(self) -> None:
        assert self.answered() << down(CS) << kept("h1") >> tells(CP, "c1", START_CONF)

    def test_one_that_nobody_waits_for_is_kept_for_its_repetition(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert playbook << calls(CP, "c1", START) >> sends(CS, "h1", START) << down(CP) << answers(CS, "h1", START_CONF)
        asked = Asked(fingerprint=self.START_RECORD.fingerprint, unique_id="h1")
        assert playbook.records == [
            asked,
            transaction(7),
            self.START_RECORD,
            ConnectorState(number=1, transaction_id=7),
        ]

    def test_only_what_is_repeated_is_kept(self) -> None:
        assert (
            connected(showing=(Keep,))
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            << calls(CP, "c2", START)
            >> sends(CS, "h2", START)
            << refuses(CS, "h2")
            >> tells_error(CP, "c2", ErrorCode.InternalError)
        )

    def test_it_is_in_progress_and_the_link_is_not_closed_over_it(self) -> None:
        playbook = connected(showing=(Keep,), idle_default=20.0)
        assert playbook << calls(CP, "c1", START) >> sends(CS, "h1", START) << answers(CS, "h1", START_CONF) >> ANY_KEEP
        assert playbook.session.in_progress() == 1
        assert playbook << wait(29.99) << wait(0.01) >> tells(CP, "c1", START_CONF) >> closes(CS)


class TestWhatIsAnsweredInAPartysPlace:
    """Rule 17. What stands in for the message is told by the Way, as an answer."""

    def unknown(self) -> Playbook:
        """Nobody knows where the Charge Point can be called back."""
        return Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM) << up(CS) << down(CP, reason="it has not said")

    def test_needs_no_link(self) -> None:
        assert (
            self.unknown()
            << calls(CS, "s1", LIST_VERSION, instead=True)
            >> sends(CP, "h1", LIST_VERSION)
            << answers(CP, "h1", LIST_VERSION_CONF)
            >> tells(CS, "s1", LIST_VERSION_CONF)
            << wait(60)
        )

    def test_is_no_sign_of_life_of_the_charge_point(self) -> None:
        playbook = (
            self.unknown()
            << calls(CS, "s1", LIST_VERSION, instead=True)
            >> sends(CP, "h1", LIST_VERSION)
            << answers(CP, "h1", LIST_VERSION_CONF, instead=True)
            >> tells(CS, "s1", LIST_VERSION_CONF)
        )
        assert playbook
        assert playbook.session.last_heard is None

    def test_overtakes_what_needs_one(self) -> None:
        assert (
            self.unknown()
            << calls(CS, "s1", RESET)
            << calls(CS, "s2", LIST_VERSION, instead=True)
            >> sends(CP, "h1", LIST_VERSION)
            << refuses(CP, "h1", ErrorCode.NotSupported)
            >> tells_error(CS, "s2", ErrorCode.NotSupported)
            << up(CP)
            >> sends(CP, "h2", RESET)
            << answers(CP, "h2", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
        )

    def test_waits_its_turn_where_there_is_one(self) -> None:
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s2", LIST_VERSION, instead=True)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
            >> sends(CP, "h2", LIST_VERSION)
        )

    def test_waits_for_a_link_when_the_version_has_changed_meanwhile(self) -> None:
        assert (
            self.unknown()
            << calls(CS, "s1", LIST_VERSION, instead=True)
            >> sends(CP, "h1", LIST_VERSION)
            << down(CP, undelivered="h1")
            << up(CP)
            >> sends(CP, "h2", LIST_VERSION)
        )


class TestAnAnswerThatComesTooLate:
    """Rule 18."""

    def late(self, **settings: Any) -> Playbook:
        """A StartTransaction that was not answered in time."""
        return (
            connected(**settings)
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << wait(30)
            >> tells_unanswered(CP, "c1")
        )

    def test_is_told_to_the_repetition(self) -> None:
        playbook = self.late()
        assert (
            playbook
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            << calls(CP, "c2", START)
            >> tells(CP, "c2", START_CONF)
        )
        assert Answered(fingerprint=fingerprint(START) or "", answer=START_CONF) in playbook.records
        assert ConnectorState(number=1, transaction_id=7) in playbook.records

    def test_is_put_away_before_it_is_told(self) -> None:
        assert (
            self.late(showing=(Keep,))
            << answers(CS, "h1", START_CONF)
            >> keeps("h1", transaction(7), Answered(fingerprint=fingerprint(START) or "", answer=START_CONF))
            >> drops(CS, "h1")
            << kept("h1")
            << calls(CP, "c2", START)
            >> tells(CP, "c2", START_CONF)
        )

    def test_of_a_stop(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << wait(30)
            >> tells_unanswered(CP, "c1")
            << answers(CS, "h1", STOP_CONF)
            >> drops(CS, "h1")
            << calls(CP, "c2", STOP)
            >> tells(CP, "c2", STOP_CONF)
        )

    def test_is_told_to_the_repetition_that_waits(self) -> None:
        assert (
            self.late()
            << calls(CP, "c2", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << calls(CP, "c3", START)
            << calls(CP, "c4", START)
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            >> tells(CP, "c3", START_CONF)
            >> tells(CP, "c4", START_CONF)
            << answers(CS, "h2", HEARTBEAT_CONF)
            >> tells(CP, "c2", HEARTBEAT_CONF)
        )

    def test_is_nothing_new_once_the_repetition_was_answered(self) -> None:
        assert (
            self.late()
            << calls(CP, "c2", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", start_conf(8))
            >> tells(CP, "c2", start_conf(8))
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            << calls(CP, "c3", START)
            >> tells(CP, "c3", start_conf(8))
        )

    def test_is_the_answer_of_a_repetition_that_is_out(self) -> None:
        """Both copies have one UniqueId."""
        assert (
            self.late()
            << calls(CP, "c2", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c2", START_CONF)
            << answers(CS, "h1", start_conf(8))
            >> drops(CS, "h1")
        )

    @pytest.mark.parametrize("answer", [answers(CP, "h1", START_CONF), answers(CS, "h1", STOP_CONF)], ids=repr)
    def test_is_of_no_use_if_it_is_none(self, answer: AnswerReceived) -> None:
        assert self.late() << answer >> drops(answer.party, "h1") << calls(CP, "c2", START) >> sends(CS, "h1", START)

    def test_may_be_a_refusal(self) -> None:
        """That is a verdict as well: one repetition gets it."""
        assert (
            self.late()
            << refuses(CS, "h1")
            >> drops(CS, "h1")
            << calls(CP, "c2", START)
            >> tells_error(CP, "c2", ErrorCode.InternalError)
            << calls(CP, "c3", START)
            >> sends(CS, "h2", START)
        )

    def test_is_told_once(self) -> None:
        assert (
            self.late()
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            << answers(CS, "h1", start_conf(8))
            >> drops(CS, "h1")
            << calls(CP, "c2", START)
            >> tells(CP, "c2", START_CONF)
        )

    def test_has_an_alias_too(self) -> None:
        playbook = self.late()
        assert playbook << answers(CS, "h1", start_conf(2**31)) >> drops(CS, "h1")
        assert playbook << calls(CP, "c2", START) >> tells(CP, "c2", start_conf(2**31 - 1))
        assert Alias(transaction_id=2**31, alias=2**31 - 1) in playbook.records

    def test_of_another_message_goes_nowhere(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", BOOT)
            >> sends(CS, "h1", BOOT)
            << wait(30)
            >> tells_unanswered(CP, "c1")
            << answers(CS, "h1", boot_conf(10))
            >> drops(CS, "h1")
            << calls(CP, "c2", BOOT)
            >> sends(CS, "h2", BOOT)
        )


class TestTheTwoConnectionsOfAChargePointEndTogether:
    """Rule 13."""

    RELAY = (JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM)
    TRANSLATED = (JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)

    @pytest.mark.parametrize("central_system", [SOAP_CENTRAL_SYSTEM, RELAYED_CENTRAL_SYSTEM])
    def test_a_charge_point_without_its_central_system_is_disconnected(self, central_system: Side) -> None:
        """It is offline then, and queues."""
        playbook = connected(JSON_CHARGE_POINT, central_system)
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", HEARTBEAT)
            << down(CS, "h1", reason="connection refused")
            >> closes(CP, try_again=True, reason="the Central System is gone: connection refused")
            << wait(100)
        )
        outcomes = [(report.call.unique_id, report.outcome, report.answer) for report in playbook.reports]
        assert sorted(outcomes) == [("c1", Outcome.ABANDONED, None), ("c2", Outcome.ABANDONED, None)]
        assert playbook.session.in_progress() == 0
        assert playbook << up(CS) << up(CP) << calls(CP, "c1", start()) >> sends(CS, "h1", START)

    def test_the_central_systems_connection_ends_with_the_charge_points(self) -> None:
        assert (
            connected(*self.RELAY)
            << down(CP, reason="1006")
            >> closes(CS, reason="the Charge Point is gone: 1006")
            << down(CS)
            << wait(10)
        )

    def test_a_soap_central_system_has_none(self) -> None:
        assert connected(*self.TRANSLATED) << down(CP)

    def test_one_that_is_gone_is_not_closed(self) -> None:
        assert connected(*self.TRANSLATED) << down(CP) << down(CS)
        assert Playbook(*self.RELAY) << up(CS) << down(CS) << up(CP) << down(CP)

    @pytest.mark.parametrize("central_system", [JSON_CENTRAL_SYSTEM, SOAP_CENTRAL_SYSTEM])
    def test_a_soap_charge_point_has_none_either(self, central_system: Side) -> None:
        assert connected(SOAP_CHARGE_POINT, central_system) << down(CS)

    @pytest.mark.parametrize(("lost", "closed"), [(CS, CP), (CP, CS)])
    def test_what_was_out_is_over_on_both(self, lost: Party, closed: Party) -> None:
        """Nobody on a new connection waits for answers that the old ones took with them."""
        playbook = connected(*self.RELAY)
        assert (
            playbook
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h1", AUTHORIZE)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h2", RESET)
            << down(lost)
            >> closes(closed, try_again=closed is CP)
        )
        assert playbook.session.in_progress() == 0
        assert (
            playbook
            << up(CS)
            << up(CP)
            << calls(CS, "s1", LIST_VERSION)
            >> sends(CP, "h3", LIST_VERSION)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h4", HEARTBEAT)
        )

    def test_what_a_soap_central_system_asked_is_unanswered(self) -> None:
        assert (
            connected(*self.TRANSLATED)
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s2", LIST_VERSION)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << down(CS, "h2", reason="connection refused")
            >> tells_unanswered(
                CS, "s1", "the Charge Point did not answer (the Central System is gone: connection refused)"
            )
            >> closes(CP, try_again=True)
            << up(CP)
            >> sends(CP, "h3", LIST_VERSION)
        )

    @pytest.mark.parametrize("call", [START, STOP, MeterValuesRequest(connectorId=1, meterValue=())])
    def test_what_is_transaction_related_and_not_answered_stays_so(self, call: Request) -> None:
        """Promise 1, its one exception: a CALLERROR would say that the message is at fault."""
        playbook = connected(*self.TRANSLATED)
        assert (
            playbook
            << calls(CP, "c1", call)
            >> sends(CS, "h1", call)
            << says_nothing(CS, "h1", "HTTP 404")
            << calls(CP, "c2", call)
            >> sends(CS, "h1", call)
            << wait(30)
        )
        assert [(report.outcome, report.answer) for report in playbook.reports] == 2 * [(Outcome.UNANSWERED, None)]

    def test_nor_are_its_repetitions(self) -> None:
        playbook = connected(*self.TRANSLATED)
        assert playbook << calls(CP, "c1", STOP) >> sends(CS, "h1", STOP) << calls(CP, "c2", STOP) << wait(30)
        assert [(report.outcome, report.answer) for report in playbook.reports] == 2 * [(Outcome.UNANSWERED, None)]

    def test_that_it_was_refused_is_told(self) -> None:
        assert (
            connected(*self.TRANSLATED)
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << refuses(CS, "h1", ErrorCode.FormationViolation)
            >> tells_error(CP, "c1", ErrorCode.FormationViolation)
        )

    @pytest.mark.parametrize("call", [AUTHORIZE, HEARTBEAT, BOOT])
    def test_that_others_found_no_answer_is_told(self, call: Request) -> None:
        assert (
            connected(*self.TRANSLATED)
            << calls(CP, "c1", call)
            >> sends(CS, "h1", call)
            << says_nothing(CS, "h1", "HTTP 502")
            >> tells_unanswered(CP, "c1", "HTTP 502")
            << calls(CP, "c2", call)
            >> sends(CS, "h2", call)
            << wait(30)
            >> tells_unanswered(CP, "c2")
        )

    def test_a_soap_charge_point_is_told_of_all(self) -> None:
        """HTTP has a way to say that it is the link (503)."""
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << says_nothing(CS, "h1", "HTTP 502")
            >> tells_unanswered(CP, "c1", "HTTP 502")
        )


class TestATransactionIdBeyond32BitsHasAnAlias:
    """Rule 14."""

    WIDE, NAME = 2**40, 2**31 - 1
    ALIAS = Alias(transaction_id=WIDE, alias=NAME)

    def test_what_is_kept_comes_from_an_exchange_with_the_ids_of_the_central_system(self) -> None:
        begun = Exchange(request=START, response=start_conf(self.WIDE))
        ended = Exchange(request=stop(self.WIDE), response=STOP_CONF)
        assert (
            connected(showing=(Keep,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", start_conf(self.WIDE))
            >> Keep(key="h1", records=ANY, exchange=begun)
            << kept("h1")
            >> tells(CP, "c1", start_conf(self.NAME))
            << calls(CP, "c2", stop(self.NAME))
            >> sends(CS, "h2", stop(self.WIDE))
            << answers(CS, "h2", STOP_CONF)
            >> Keep(key="h2", records=ANY, exchange=ended)
        )

    def test_the_charge_point_knows_the_alias_and_the_central_system_the_id(self) -> None:
        metered = MeterValuesRequest(connectorId=1, meterValue=(), transactionId=self.NAME)
        metered_wide = MeterValuesRequest(connectorId=1, meterValue=(), transactionId=self.WIDE)
        remote_stop = RemoteStopTransactionRequest(transactionId=self.WIDE)
        remote_stop_narrow = RemoteStopTransactionRequest(transactionId=self.NAME)
        remote_stop_conf = RemoteStopTransactionResponse(status=REMOTE_START_CONF.status)
        playbook = connected()
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", start_conf(self.WIDE))
            >> tells(CP, "c1", start_conf(self.NAME))
            << calls(CP, "c2", metered)
            >> sends(CS, "h2", metered_wide)
            << calls(CS, "s1", remote_stop)
            >> sends(CP, "h3", remote_stop_narrow)
            << answers(CP, "h3", remote_stop_conf)
            >> tells(CS, "s1", remote_stop_conf)
            << refuses(CS, "h2")
            >> tells_error(CP, "c2", ErrorCode.InternalError)
            << calls(CP, "c3", stop(self.NAME))
            >> sends(CS, "h4", stop(self.WIDE))
            << answers(CS, "h4", STOP_CONF)
            >> tells(CP, "c3", STOP_CONF)
        )
        assert [record for record in playbook.records if not isinstance(record, Asked)] == [
            self.ALIAS,
            transaction(self.NAME),
            Answered(fingerprint=fingerprint(START) or "", answer=start_conf(self.NAME)),
            ConnectorState(number=1, transaction_id=self.NAME),
            structs.replace(
                transaction(self.NAME), state=TransactionState.ENDED, meter_stop=1200, stopped=stop(0).timestamp
            ),
            Answered(fingerprint=fingerprint(stop(self.NAME)) or "", answer=STOP_CONF),
            ANY,
        ]

    def test_it_is_kept_before_it_is_told(self) -> None:
        playbook = connected(showing=(Keep,)) << calls(CP, "c1", START) >> sends(CS, "h1", START)
        told = Answered(fingerprint=fingerprint(START) or "", answer=start_conf(self.NAME))
        assert (
            playbook
            << answers(CS, "h1", start_conf(self.WIDE))
            >> keeps("h1", self.ALIAS, transaction(self.NAME), told)
            << kept("h1")
            >> tells(CP, "c1", start_conf(self.NAME))
        )

    def test_a_command_that_makes_one_necessary_does_not_wait(self) -> None:
        call = RemoteStopTransactionRequest(transactionId=self.WIDE)
        assert (
            connected(showing=(Note,))
            << calls(CS, "s1", call)
            >> notes(self.ALIAS)
            >> sends(CP, "h1", RemoteStopTransactionRequest(transactionId=self.NAME))
            << calls(CS, "s2", call)
            << refuses(CP, "h1")
            >> tells_error(CS, "s1", ErrorCode.InternalError)
            >> sends(CP, "h2", RemoteStopTransactionRequest(transactionId=self.NAME))
        )

    def test_a_repetition_is_told_the_same_one(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c2", START)
            << answers(CS, "h1", start_conf(self.WIDE))
            >> tells(CP, "c1", start_conf(self.NAME))
            >> tells(CP, "c2", start_conf(self.NAME))
            << calls(CP, "c3", START)
            >> tells(CP, "c3", start_conf(self.NAME))
        )

    def test_a_restart_forgets_nothing(self) -> None:
        assert (
            connected(memory=SessionMemory(aliases=(self.ALIAS,)))
            << calls(CP, "c1", stop(self.NAME))
            >> sends(CS, "h1", stop(self.WIDE))
        )

    @pytest.mark.parametrize("leg", ["json-soap", "json-json"])
    def test_a_json_charge_point_gets_the_id_itself(self, leg: str) -> None:
        assert (
            connected(*SIDES[leg])
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", start_conf(self.WIDE))
            >> tells(CP, "c1", start_conf(self.WIDE))
            << calls(CP, "c2", stop(self.WIDE))
            >> sends(CS, "h2", stop(self.WIDE))
        )


class TestTheBridgeIsStartedAgain:
    """Resumed: a SOAP Charge Point that was heard of before is still there, though it says nothing just now."""

    def resumed(self, ago: float, **settings: Any) -> Playbook:
        return Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, **settings) << up(CP) << resumed(-ago)

    @pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.0), (0.5, 2.5), (0.9999, 4.9995)])
    def test_its_link_is_opened_again_some_time_soon(self, chance: float, pause: float) -> None:
        playbook = self.resumed(100, chance=lambda: chance)
        if pause:
            playbook = playbook << wait(pause - 0.001) << wait(0.002)
        assert playbook >> opens(CS) << up(CS) << wait(100)

    def test_at_once_if_it_has_something_to_say(self) -> None:
        assert self.resumed(100, chance=lambda: 0.5) << wait(1) << calls(CP, "c1", HEARTBEAT) >> opens(CS)

    def test_it_is_held_as_long_as_it_would_have_been(self) -> None:
        assert self.resumed(100) >> opens(CS) << up(CS) << wait(799.99) << wait(0.01) >> closes(CS)
        playbook = self.resumed(100, memory=SessionMemory(presence=Presence(interval=60)), idle_default=0.0)
        assert playbook >> opens(CS) << up(CS) << wait(79.99) << wait(0.01) >> closes(CS)

    def test_it_is_tried_again_and_again(self) -> None:
        playbook = self.resumed(100) >> opens(CS)
        for pause in [1, 2, 4]:
            playbook = playbook << down(CS) << wait(pause - 0.01) << wait(0.01) >> opens(CS)
        assert playbook

    def test_not_for_one_that_is_silent_for_too_long(self) -> None:
        assert self.resumed(900) << wait(100)
        playbook = self.resumed(181, memory=SessionMemory(presence=Presence(interval=60)), idle_default=0.0)
        assert playbook << wait(100) << calls(CP, "c1", BOOT) >> opens(CS)

    def test_not_if_it_is_open(self) -> None:
        assert self.resumed(100) >> opens(CS) << resumed(-50) << up(CS) << resumed(-10) << wait(100)

    def test_who_cannot_be_dialled_is_not(self) -> None:
        assert Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM) << up(CP) << up(CS) << resumed(-10) << wait(100)


class TestWhatTheMessagesSayOfTheConnectors:
    """Notes, for dialects and for people; tests.core.test_memory has the particulars."""

    def test_is_noted_when_it_changes(self) -> None:
        assert (
            connected(showing=(Note,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
            >> notes(ConnectorState(number=1, transaction_id=7))
            << calls(CP, "c2", START)
            >> tells(CP, "c2", START_CONF)
        )

    def test_is_noted_when_there_is_an_answer(self) -> None:
        assert (
            connected(showing=(Note,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << refuses(CS, "h1")
            >> tells_error(CP, "c1", ErrorCode.InternalError)
            << calls(CP, "c2", START)
            >> sends(CS, "h2", START)
            << wait(30)
            >> tells_unanswered(CP, "c2")
        )

    def test_whoever_is_there_to_be_told(self) -> None:
        """The transaction runs, though its Charge Point hears of it by a repetition only."""
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, showing=(Note,))
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << down(CP)
            << answers(CS, "h1", START_CONF)
            >> notes(ConnectorState(number=1, transaction_id=7))
        )


class TestReplayOfTheLastBootNotification:
    """`replay_boot`, for Central Systems that insist on one per connection."""

    OTHER = BootNotificationRequest(chargePointVendor="Vendor", chargePointModel="Other")

    def booted(self, *, replay: bool = True) -> Playbook:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, replay_boot=replay) << calls(CP, "c1", BOOT)
        return (
            playbook
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h1", BOOT)
            << answers(CS, "h1", boot_conf(300))
            >> tells(CP, "c1", boot_conf(300))
        )

    def test_it_is_the_first_on_the_new_link_and_its_answer_goes_nowhere(self) -> None:
        playbook = self.booted()
        assert (
            playbook
            << down(CS)
            << calls(CP, "c2", HEARTBEAT)
            >> opens(CS)
            << wait(1)
            << up(CS)
            >> sends(CS, "h3", BOOT, losses=ANY)
            << answers(CS, "h3", boot_conf(20))
            >> sends(CS, "h4", HEARTBEAT)
            << answers(CS, "h4", HEARTBEAT_CONF)
            >> tells(CP, "c2", HEARTBEAT_CONF)
            << wait(898.99)  # the Charge Point was never told of 20 s, it goes on with its 300
            << wait(0.01)
            >> closes(CS)
        )
        assert [report.own for report in playbook.reports] == [False, True, False]

    def test_it_is_not_unless_configured(self) -> None:
        assert self.booted(replay=False) << down(CS) << wait(1) >> opens(CS) << up(CS)

    def test_it_is_none_if_there_was_none(self) -> None:
        """Rule 22 of the field: no BootNotification is invented."""
        assert (
            connected(replay_boot=True)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << down(CS)
            >> tells_unanswered(CP, "c1")
            << wait(1)
            >> opens(CS)
            << up(CS)
        )

    def test_it_is_the_last(self) -> None:
        assert (
            self.booted()
            << calls(CP, "c2", self.OTHER)
            >> sends(CS, "h2", self.OTHER)
            << answers(CS, "h2", boot_conf(300))
            >> tells(CP, "c2", boot_conf(300))
            << down(CS)
            << wait(1)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h4", self.OTHER, losses=ANY)
        )

    def test_it_is_not_beside_one_that_waits(self) -> None:
        assert (
            self.booted()
            << down(CS)
            << calls(CP, "c2", self.OTHER)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h2", self.OTHER)
        )

    def test_a_restart_of_the_bridge_makes_a_new_link_too(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, replay_boot=True, memory=SessionMemory(boot=BOOT))
        assert playbook << calls(CP, "c1", HEARTBEAT) >> opens(CS) << up(CS) >> sends(CS, "h2", BOOT, losses=ANY)
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, replay_boot=True, memory=SessionMemory(boot=BOOT))
        assert playbook << calls(CP, "c1", self.OTHER) >> opens(CS) << up(CS) >> sends(CS, "h1", self.OTHER)

    @pytest.mark.parametrize("leg", ["json-soap", "soap-soap", "json-json"])
    def test_only_where_the_link_is_the_bridges_own(self, leg: str) -> None:
        """A JSON Charge Point's connection is its own, and no more than a POST is lost with SOAP."""
        playbook = connected(*SIDES[leg], replay_boot=True, memory=SessionMemory(boot=BOOT))
        assert playbook << up(CP) << up(CS)

    def test_nobody_is_told_when_it_is_not_answered(self) -> None:
        playbook = self.booted()
        assert playbook << down(CS) << wait(1) >> opens(CS) << up(CS) >> sends(CS, "h3", BOOT, losses=ANY) << wait(30)
        assert [(report.own, report.outcome) for report in playbook.reports] == [
            (False, Outcome.RESULT),
            (True, Outcome.UNANSWERED),
        ]


class TestAnOperatorsCall:
    def test_goes_to_the_charge_point_while_its_central_system_is_away(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << up(CP)
        assert (
            playbook
            << commands("o1", RESET)
            >> sends(CP, "h1", RESET)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "o1", RESET_CONF)
        )
        [report] = playbook.reports
        assert report.operator and not report.own
        assert playbook.session.links[CS].status is Status.DOWN

    def test_waits_its_turn_behind_the_central_systems(self) -> None:
        assert (
            connected()
            << calls(CS, "s1", REMOTE_START)
            >> sends(CP, "h1", REMOTE_START)
            << commands("o1", RESET)
            << answers(CP, "h1", REMOTE_START_CONF)
            >> tells(CS, "s1", REMOTE_START_CONF)
            >> sends(CP, "h2", RESET)
            << answers(CP, "h2", RESET_CONF)
            >> tells(CS, "o1", RESET_CONF)
        )

    def test_outlives_the_link_of_the_central_system(self) -> None:
        """The Central System's own Call ends with its Link: nobody is there to be told."""
        assert (
            connected()
            << commands("o1", RESET)
            >> sends(CP, "h1", RESET)
            << calls(CS, "s1", LIST_VERSION)
            << down(CS)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "o1", RESET_CONF)
        )

    def test_says_nothing_of_the_central_systems_link(self) -> None:
        playbook = Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM) << up(CP) << wait(5)
        assert playbook << commands("o1", RESET) >> sends(CP, "h1", RESET)
        assert playbook.session.links[CS].confirmed_at == float("-inf")

    @pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
    def test_is_answered_in_time_whatever_happens(self, charge_point: Side, central_system: Side) -> None:
        assert (
            Playbook(charge_point, central_system, call_timeout=30)
            << commands("o1", RESET)
            << wait(30)
            >> tells_unanswered(CS, "o1")
        )


class TestReports:
    """Every Call that ended has one: what logs and metrics are written from."""

    def test_of_a_call_that_was_answered(self) -> None:
        playbook = connected() << wait(5) << calls(CP, "c1", START) >> sends(CS, "h1", START) << wait(2)
        assert playbook << answers(CS, "h1", START_CONF) >> tells(CP, "c1", START_CONF)
        call = calls(CP, "c1", START).call
        answer = tells(CP, "c1", START_CONF).answer
        assert playbook.reports == [
            Report(
                sender=CP,
                call=call,
                outcome=Outcome.RESULT,
                arrived=5.0,
                ended=7.0,
                hop_id="h1",
                sent=5.0,
                answer=answer,
            )
        ]

    def test_of_others(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << calls(CP, "c1", HEARTBEAT)
            >> tells_error(CP, "c1", ErrorCode.ProtocolError)
            << refuses(CS, "h1")
            >> tells_error(CP, "c1", ErrorCode.InternalError)
            << calls(CP, "c2", STOP)
            >> sends(CS, "h2", STOP)
            << calls(CP, "c3", HEARTBEAT)
            << wait(1)
            << down(CP)
            << wait(29)
            << calls(CS, "s1", RESET)
            << wait(30)
            >> tells_unanswered(CS, "s1")
        )
        assert [(report.call.unique_id, report.outcome) for report in playbook.reports] == [
            ("c1", Outcome.REFUSED),
            ("c1", Outcome.ERROR),
            ("c3", Outcome.ABANDONED),
            ("c2", Outcome.ABANDONED),
            ("s1", Outcome.UNANSWERED),
        ]
        assert [report.answer is None for report in playbook.reports] == [False, False, True, True, False]


def test_one_timer_for_whatever_comes_first() -> None:
    playbook = connected(showing=(SetTimer,), call_timeout=30)
    assert (
        playbook
        << calls(CP, "c1", START)
        >> sends(CS, "h1", START)
        >> SetTimer(at=30)
        << wait(10)
        << calls(CP, "c2", STOP)
        << answers(CS, "h1", START_CONF)
        >> sends(CS, "h2", STOP)
        >> tells(CP, "c1", START_CONF)
        << wait(20)
        >> SetTimer(at=40)
        << wait(10)
        >> tells_unanswered(CP, "c2")
        >> SetTimer(at=910)
        << wait(870)
        >> closes(CS)
    )
    assert {link.status for link in playbook.session.links.values()} == {Status.UP, Status.DOWN}


def test_a_lane_shows_what_is_in_it() -> None:
    playbook = connected() << calls(CP, "c1", START) >> sends(CS, "h1", START) << calls(CP, "c2", STOP)
    assert playbook
    assert repr([*playbook.session.lanes[CS]]) == "[<StartTransaction c1 -> h1>, <StopTransaction c2 -> waiting>]"


class TestAChargePointIsToBeWoken:
    """Rule 25."""

    def asleep(self, *, wakes: bool = True, **terms: Any) -> Playbook:
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, wakes=wakes, showing=(Wake,), **terms)
        return playbook << up(CS) << down(CP, reason="it has not said")

    def test_when_a_command_waits_for_it_once_in_five_minutes(self) -> None:
        assert (
            self.asleep(command_timeout=90.0)
            << calls(CS, "s1", RESET)
            >> Wake()
            << calls(CS, "s2", LIST_VERSION)
            << wait(90)
            >> tells_unanswered(CS, "s1")
            >> tells_unanswered(CS, "s2")
            << wait(209)
            << calls(CS, "s3", RESET)
            << wait(1)
            << calls(CS, "s4", RESET)
            >> Wake()
        )

    def test_not_when_it_is_there(self) -> None:
        assert self.asleep() << up(CP) << calls(CS, "s1", RESET) >> sends(CP, "h1", RESET)

    def test_not_where_nobody_does_that(self) -> None:
        assert self.asleep(wakes=False) << calls(CS, "s1", RESET) << wait(10)


class TestAPostThatIsLate:
    """Rule 18, towards a SOAP Central System."""

    def late(self, charge_point: Side = SOAP_CHARGE_POINT, **terms: Any) -> Playbook:
        playbook = connected(charge_point, SOAP_CENTRAL_SYSTEM, **terms)
        playbook = playbook << calls(CP, "c1", START) >> sends(CS, "h1", START, deadline=30, give_up=180) << wait(30)
        return playbook >> tells_unanswered(CP, "c1") if charge_point is SOAP_CHARGE_POINT else playbook

    def test_a_repetition_waits_for_it_and_gets_its_verdict(self) -> None:
        assert (
            self.late()
            << calls(CP, "c2", START)
            << calls(CP, "c3", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            >> tells(CP, "c2", START_CONF)
        )

    def test_a_repetition_waits_no_longer_than_it_may(self) -> None:
        assert (
            self.late()
            << wait(5)
            << calls(CP, "c2", START)
            << wait(30)
            >> tells_unanswered(CP, "c2")
            << answers(CS, "h1", START_CONF)
            >> drops(CS, "h1")
            << calls(CP, "c3", START)
            >> tells(CP, "c3", START_CONF)
        )

    def test_a_refusal_is_a_verdict_as_well(self) -> None:
        assert (
            self.late()
            << calls(CP, "c2", START)
            << refuses(CS, "h1")
            >> tells_error(CP, "c2", ErrorCode.InternalError)
            >> drops(CS, "h1")
        )

    @pytest.mark.parametrize("ending", [says_nothing(CS, "h1"), down(CS, "h1")], ids=["answer", "connection"])
    def test_when_it_ends_without_one_the_repetition_is_sent_under_the_same_unique_id(self, ending: Any) -> None:
        assert self.late() << calls(CP, "c2", START) << ending >> sends(CS, "h1", START)

    def test_a_json_charge_point_is_told_nothing_meanwhile(self) -> None:
        playbook = self.late(JSON_CHARGE_POINT)
        playbook = playbook << calls(CP, "c2", START) << answers(CS, "h1", START_CONF) >> drops(CS, "h1")
        assert playbook >> tells(CP, "c2", START_CONF)
        assert [report.outcome for report in playbook.reports] == [Outcome.UNANSWERED, Outcome.REPEATED]


class TestALinkFailureEndsOneCall:
    """Rule 20."""

    @pytest.mark.parametrize("failure", [Failure.MISCONFIGURED, Failure.FOREIGN_ANSWER, Failure.TIMEOUT])
    def test_the_next_is_sent(self, failure: Failure) -> None:
        assert (
            connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << calls(CP, "c2", HEARTBEAT)
            << says_nothing(CS, "h1", failure=failure)
            >> sends(CS, "h2", HEARTBEAT)
            << says_nothing(CS, "h2", failure=failure)
            >> tells_unanswered(CP, "c2", failure=failure)
        )

    def test_one_that_asks_for_a_pause_gets_it(self) -> None:
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << says_nothing(CS, "h1", failure=Failure.OVERLOADED, retry_after=4)
            >> tells_unanswered(CP, "c1", failure=Failure.OVERLOADED)
            << calls(CP, "c2", HEARTBEAT)
            << wait(3.99)
            << wait(0.01)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_one_that_asks_for_a_long_one_is_not_waited_for(self) -> None:
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << says_nothing(CS, "h1", failure=Failure.OVERLOADED, retry_after=60)
            >> tells_unanswered(CP, "c1", failure=Failure.OVERLOADED)
            << wait(1)
            << calls(CP, "c2", HEARTBEAT)
            >> tells_unanswered(CP, "c2", failure=Failure.OVERLOADED)
        )

    def test_one_that_is_away_is_tried_at_the_next_call_of_a_soap_charge_point(self) -> None:
        assert (
            connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << calls(CP, "c2", HEARTBEAT)
            << says_nothing(CS, "h1", failure=Failure.UNREACHABLE)
            >> tells_unanswered(CP, "c2", failure=Failure.UNREACHABLE)
            >> tells_unanswered(CP, "c1", failure=Failure.UNREACHABLE)
            << calls(CP, "c3", HEARTBEAT)
            >> sends(CS, "h2", HEARTBEAT)
        )

    def test_a_json_charge_point_is_disconnected_when_it_is_away(self) -> None:
        playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
        assert (
            playbook
            << calls(CP, "c1", STOP)
            >> sends(CS, "h1", STOP)
            << says_nothing(CS, "h1", "HTTP 503", failure=Failure.UNREACHABLE)
            >> closes(CP, try_again=True, reason="the Central System is gone: HTTP 503")
        )
        assert playbook.session.links[CS].retry_at == 1.0  # when a handshake is let in again


class TestABootNotificationIsReplayed:
    """Rule 22, with `replay_boot = "auto"`."""

    def booted(self, **terms: Any) -> Playbook:
        memory = SessionMemory(
            boot=BOOT, **{key: terms.pop(key) for key in tuple(terms) if key in ("introduce", "statuses")}
        )
        playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, replay_boot="auto", memory=memory, **terms)
        return playbook << up(CP) << calls(CP, "c1", START) >> opens(CS) << up(CS)

    def refused(self, playbook: Playbook) -> Playbook:
        playbook = playbook >> sends(CS, "h1", START) << refuses(CS, "h1", ErrorCode.SecurityError)
        return playbook >> sends(CS, "h3", BOOT, losses=ANY)

    def test_where_a_security_error_says_that_it_is_missing_and_then_the_call_again(self) -> None:
        assert (
            self.refused(self.booted())
            << answers(CS, "h3", boot_conf(300))
            >> sends(CS, "h4", START)
            << answers(CS, "h4", START_CONF)
            >> tells(CP, "c1", START_CONF)
        )

    def test_a_security_error_after_it_is_a_verdict(self) -> None:
        assert (
            self.refused(self.booted())
            << answers(CS, "h3", boot_conf(300))
            >> sends(CS, "h4", START)
            << refuses(CS, "h4", ErrorCode.SecurityError)
            >> tells_error(CP, "c1", ErrorCode.SecurityError)
        )

    @pytest.mark.parametrize("status", [RegistrationStatus.Pending, RegistrationStatus.Rejected])
    def test_while_it_is_not_accepted_all_else_is_a_link_failure(self, status: RegistrationStatus) -> None:
        waits = structs.replace(boot_conf(300), status=status)
        playbook = self.refused(self.booted())
        playbook = playbook << answers(CS, "h3", waits) >> tells_unanswered(CP, "c1", failure=Failure.NOT_BOOTED)
        playbook = playbook << calls(CP, "c2", HEARTBEAT) >> tells_unanswered(CP, "c2", failure=Failure.NOT_BOOTED)
        assert (
            playbook
            << calls(CS, "s1", RESET)
            >> sends(CP, "h4", RESET)
            << answers(CP, "h4", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
        )
        if status is RegistrationStatus.Pending:
            rejected = structs.replace(REMOTE_START_CONF, status=RemoteStartStopStatus.Rejected)
            assert playbook << calls(CS, "s2", REMOTE_START) >> tells(CS, "s2", rejected)
        # Its own is passed on.
        assert (
            playbook
            << calls(CP, "c3", BOOT)
            >> sends(CS, "h5", BOOT)
            << answers(CS, "h5", boot_conf(300))
            >> tells(CP, "c3", boot_conf(300))
            << calls(CP, "c4", HEARTBEAT)
            >> sends(CS, "h6", HEARTBEAT)
        )

    def test_without_one_a_security_error_is_a_link_failure_of_what_is_money(self) -> None:
        playbook = connected(replay_boot="auto")
        assert (
            playbook
            << calls(CP, "c1", START)
            >> sends(CS, "h1", START)
            << refuses(CS, "h1", ErrorCode.SecurityError)
            >> tells_unanswered(CP, "c1", failure=Failure.NOT_BOOTED)
            << calls(CP, "c2", AUTHORIZE)
            >> sends(CS, "h2", AUTHORIZE)
            << refuses(CS, "h2", ErrorCode.SecurityError)
            >> tells_error(CP, "c2", ErrorCode.SecurityError)
        )

    def test_first_on_a_connection_after_one_that_was_closed_over_a_call(self) -> None:
        assert (
            self.booted()
            >> sends(CS, "h1", START)
            << wait(1)
            << down(CS, code=1008)
            >> tells_unanswered(CP, "c1")
            << wait(1)
            >> opens(CS)
            << up(CS)
            >> sends(CS, "h3", BOOT, losses=ANY)
        )

    def test_after_a_move_with_the_status_of_each_connector_before_anything_else(self) -> None:
        status = StatusNotificationRequest(
            connectorId=1, errorCode=ChargePointErrorCode.NoError, status=ChargePointStatus.Charging
        )
        assert (
            self.booted(introduce=True, statuses=(LastStatus(request=status),))
            >> sends(CS, "h3", BOOT, losses=ANY)
            << answers(CS, "h3", boot_conf(300))
            >> sends(CS, "h4", status, losses=ANY)
            << answers(CS, "h4", StatusNotificationResponse())
            >> sends(CS, "h5", START)
        )


class TestAHeartbeatInTheNameOfAChargePointThatPings:
    """Rule 23."""

    def test_when_nothing_passed_for_an_interval(self) -> None:
        playbook = connected(
            JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, memory=SessionMemory(presence=Presence(interval=100))
        )
        assert (
            playbook
            << wait(109.9)
            << wait(0.2)
            >> sends(CS, "h2", HEARTBEAT, losses=ANY)
            << answers(CS, "h2", HEARTBEAT_CONF)
            << wait(50)
            << calls(CP, "c1", AUTHORIZE)
            >> sends(CS, "h3", AUTHORIZE)
            << answers(CS, "h3", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            << wait(109)
        )

    @pytest.mark.parametrize("leg", ["soap-soap", "soap-json", "json-json"])
    def test_nowhere_else(self, leg: str) -> None:
        assert connected(*SIDES[leg], memory=SessionMemory(presence=Presence(interval=100))) << wait(250)


def test_a_capped_interval_is_what_a_soap_charge_point_is_told() -> None:
    playbook = connected(heartbeat_max=300) << calls(CP, "c1", BOOT) >> sends(CS, "h1", BOOT)
    capped = structs.replace(boot_conf(300))
    loss = Loss(message="BootNotificationResponse", path="interval", reason=LossReason.CAPPED_INTERVAL)
    assert (
        playbook
        << answers(CS, "h1", boot_conf(3600))
        >> SendAnswer(party=CP, key="c1", answer=CallResult(unique_id="c1", payload=capped, losses=(loss,)))
    )
    playbook = connected(heartbeat_max=300) << calls(CP, "c1", BOOT) >> sends(CS, "h1", BOOT)
    assert playbook << answers(CS, "h1", boot_conf(0)) >> tells(CP, "c1", boot_conf(0))
