"""Rule 29: the connection of a JSON Charge Point that is moved, in its earlier and in its later Session."""

from __future__ import annotations

from unittest.mock import ANY

import pytest

from bridge.core.connectors import LastStatus
from bridge.core.events import HandedOver, TurnTaken
from bridge.core.memory import SessionMemory
from bridge.errors import ErrorCode
from bridge.ocpp.enums import ChargePointErrorCode, ChargePointStatus, RegistrationStatus
from bridge.ocpp.messages import (
    BootNotificationResponse,
    StatusNotificationRequest,
    StatusNotificationResponse,
)
from bridge.ocpp.rpc import Call, Failure
from tests.core.playbook import (
    CP,
    CS,
    JSON_CHARGE_POINT,
    RELAYED_CENTRAL_SYSTEM,
    SOAP_CENTRAL_SYSTEM,
    Playbook,
    answers,
    calls,
    closes,
    down,
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
from tests.core.samples import (
    BOOT,
    HEARTBEAT,
    HEARTBEAT_CONF,
    LIST_VERSION,
    LIST_VERSION_CONF,
    NOW,
    RESET,
    RESET_CONF,
    START,
    START_CONF,
)

HANDED_OVER = HandedOver(at=0)
STATUS = StatusNotificationRequest(
    connectorId=1, errorCode=ChargePointErrorCode.NoError, status=ChargePointStatus.Charging
)
MOVED = SessionMemory(boot=BOOT, introduce=True, statuses=(LastStatus(request=STATUS),))


def turn(*, taken: bool) -> TurnTaken:
    return TurnTaken(at=0, taken=taken)


def boot_conf(status: RegistrationStatus = RegistrationStatus.Accepted) -> BootNotificationResponse:
    return BootNotificationResponse(status=status, currentTime=NOW, interval=300)


def moved_to_json() -> Playbook:
    """A connection that was handed over, and whose Central System is dialled."""
    playbook = Playbook(JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM, memory=MOVED, call_timeout=30.0)
    return playbook << up(CP) << resumed(0) >> opens(CS)


def connected() -> Playbook:
    return Playbook(JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM) << up(CS) << up(CP)


class TestTheLaterSession:
    def test_boot_and_statuses_come_before_what_has_come_meanwhile(self) -> None:
        assert (
            moved_to_json()
            << calls(CP, "c1", HEARTBEAT)
            << up(CS)
            >> sends(CS, "h3", BOOT, losses=ANY)
            << answers(CS, "h3", boot_conf())
            >> sends(CS, "h4", STATUS, losses=ANY)
            << answers(CS, "h4", StatusNotificationResponse())
            >> sends(CS, "h5", HEARTBEAT)
            << answers(CS, "h5", HEARTBEAT_CONF)
            >> tells(CP, "c1", HEARTBEAT_CONF)
        )

    def test_posts_need_no_connection(self) -> None:
        assert (
            Playbook(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, memory=MOVED)
            << up(CS)
            << up(CP)
            << resumed(0)
            >> sends(CS, "h3", BOOT, losses=ANY)
            << answers(CS, "h3", boot_conf())
            >> sends(CS, "h4", STATUS, losses=ANY)
        )

    def test_one_that_connects_by_itself_introduces_itself(self) -> None:
        playbook = Playbook(JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM, memory=MOVED)
        assert playbook << up(CS) << up(CP) << calls(CP, "c1", HEARTBEAT) >> sends(CS, "h1", HEARTBEAT)
        assert not playbook.session.introduces

    @pytest.mark.parametrize("status", [RegistrationStatus.Pending, RegistrationStatus.Rejected])
    def test_no_status_follows_a_refused_boot(self, status: RegistrationStatus) -> None:
        assert (
            moved_to_json()
            << up(CS)
            >> sends(CS, "h3", BOOT, losses=ANY)
            << answers(CS, "h3", boot_conf(status))
            << calls(CP, "c1", HEARTBEAT)
            >> tells_unanswered(CP, "c1", failure=Failure.NOT_BOOTED)
        )

    def test_nor_an_error_or_nothing(self) -> None:
        assert moved_to_json() << up(CS) >> sends(CS, "h3", BOOT, losses=ANY) << refuses(CS, "h3")
        assert moved_to_json() << up(CS) >> sends(CS, "h3", BOOT, losses=ANY) << wait(31)
        assert (
            Playbook(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, memory=MOVED)
            << up(CS)
            << up(CP)
            << resumed(0)
            >> sends(CS, "h3", BOOT, losses=ANY)
            << says_nothing(CS, "h3")
        )

    def test_a_central_system_that_is_away_ends_the_connection(self) -> None:
        playbook = (
            moved_to_json()
            << calls(CP, "c1", HEARTBEAT)
            << calls(CP, "c2", START)
            << down(CS, reason="cannot be reached")
            >> closes(CP, try_again=True)
        )
        assert playbook
        assert playbook.session.links[CS].failures == 1

    def test_one_that_goes_away_meanwhile_ends_the_dialling(self) -> None:
        playbook = moved_to_json() << down(CP) >> closes(CS)
        assert playbook
        # On its next connection it introduces itself.
        assert playbook << up(CS) << up(CP) << calls(CP, "c1", BOOT) >> sends(CS, "h1", BOOT)

    def test_it_sends_nothing_while_an_earlier_session_has_calls_out(self) -> None:
        assert (
            connected()
            << turn(taken=True)
            << calls(CS, "c1", RESET)
            << turn(taken=False)
            >> sends(CP, "h1", RESET)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "c1", RESET_CONF)
        )

    def test_a_new_connection_is_its_own(self) -> None:
        assert (
            connected()
            << turn(taken=True)
            << down(CP)
            >> closes(CS)
            << up(CS)
            << up(CP)
            << calls(CS, "c1", RESET)
            >> sends(CP, "h1", RESET)
        )

    def test_a_repetition_that_waited_gets_the_answer_that_the_earlier_session_got(self) -> None:
        earlier = connected()
        assert earlier << calls(CP, "c1", START) >> sends(CS, "h1", START)
        later = moved_to_json()
        later.session._repetitions = earlier.session._repetitions  # all Sessions of a Charge Point share them
        assert later << calls(CP, "c2", START)
        assert earlier << HANDED_OVER << answers(CS, "h1", START_CONF) >> tells(CP, "c1", START_CONF)
        assert later.session.boots.request is not None
        later.session.boots.introduce = False
        assert later << up(CS) >> tells(CP, "c2", START_CONF)


class TestTheEarlierSession:
    def test_a_lost_central_system_ends_its_calls_and_not_the_connection(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << HANDED_OVER
            << down(CS)
            >> tells_unanswered(CP, "c1", failure=Failure.CONNECTION_LOST)
        )

    def test_a_lost_charge_point_ends_both(self) -> None:
        assert (
            connected()
            << calls(CP, "c1", HEARTBEAT)
            >> sends(CS, "h1", HEARTBEAT)
            << HANDED_OVER
            << down(CP)
            >> closes(CS)
        )

    def test_calls_to_the_charge_point_hold_its_turn(self) -> None:
        playbook = connected() << calls(CS, "c1", RESET) >> sends(CP, "h1", RESET) << calls(CS, "c2", LIST_VERSION)
        assert playbook << HANDED_OVER
        assert playbook.session.holds_turn
        assert playbook << answers(CP, "h1", RESET_CONF) >> tells(CS, "c1", RESET_CONF) >> sends(CP, "h2", LIST_VERSION)
        assert playbook.session.holds_turn
        assert playbook << answers(CP, "h2", LIST_VERSION_CONF) >> tells(CS, "c2", LIST_VERSION_CONF)
        assert not playbook.session.holds_turn

    def test_it_knows_what_is_in_progress(self) -> None:
        playbook = connected() << calls(CP, "c1", START) >> sends(CS, "h1", START)
        assert playbook
        session = playbook.session
        again = Call(unique_id="x", action="StartTransaction", payload=START)
        assert session.has_first_of("x", again)
        beat = Call(unique_id="c1", action="Heartbeat", payload=HEARTBEAT)
        assert session.has_first_of("c1", beat) and not session.has_first_of("c2", beat)
        assert playbook << refuses(CS, "h1") >> tells_error(CP, "c1", ErrorCode.InternalError)
        assert not session.has_first_of("x", again) and session.is_quiet
