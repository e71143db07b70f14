"""Command `call`: send a command to a Charge Point through a running gateway, and print the answer."""

from __future__ import annotations

import json
import os
import sys
from http import HTTPStatus
from typing import Any

import msgspec

from bridge.commands import asking
from bridge.config.complaints import closest, one_line
from bridge.ocpp.actions import ACTIONS


def run(where: asking.Where, identity: str, action: str, payload: str, *, as_json: bool) -> int:
    """Send the command and print the answer.

    Args:
        where: The gateway.
        identity: The Charge Point.
        action: The action.
        payload: The request as JSON; "-" reads standard input.
        as_json: Whether to print the whole answer as JSON.

    Returns:
        0 if the Charge Point answered with a result, 1 if it did not, 2 for an invalid command.

    Raises:
        OSError: The gateway did not answer.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    text = sys.stdin.read() if payload == "-" else payload
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return _complain("the payload is one JSON object, {} for none", 2)
    # Raw keeps the spelling of numbers: 230.10 stays 230.10.
    command = {"action": action, "payload": msgspec.Raw(text.encode())}
    gateway = asking.reach(where, os.environ)
    try:
        answer = gateway.send("POST", f"/charge-points/{asking.segment(identity)}/calls", command)
    except asking.AskingError as error:
        bad = error.status == HTTPStatus.BAD_REQUEST
        return _complain(f"{error}{_meant(action) if bad else ''}", 2 if bad else 1)
    return _told(answer, as_json)


def _told(answer: dict[str, Any], as_json: bool) -> int:
    error = answer["error"]
    if as_json:
        print(json.dumps(answer, indent=2))
    elif error is None:
        print(json.dumps(answer["payload"], indent=2))
    else:
        details = f" {json.dumps(error['details'])}" if error["details"] else ""
        _complain(f"the Charge Point answered {error['code']}: {error['description'] or 'no more'}{details}", 1)
    return 0 if error is None else 1


def _meant(action: str) -> str:
    guess = None if action in ACTIONS else closest(action, ACTIONS)
    return f", did you mean {guess}?" if guess else ""


def _complain(text: str, code: int) -> int:
    print(one_line(f"ocpp-bridge call: {text}"), file=sys.stderr)
    return code
