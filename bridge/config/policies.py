"""Check the policies: that each can be carried out, and that no answer is one that OCPP does not allow.

A complaint is about a policy that cannot work. A caution is about a policy that takes a StartTransaction or a
StopTransaction away from the Central System that bills it.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.config.complaints import Complaints, closest, dotted, quote, unknown_central_system
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import Policy, Settings
from bridge.core.policies import answer_of, path_of_field
from bridge.errors import MessageError
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party

# Seconds of a Call's time that a delay must leave for its receiver to answer.
MARGIN = 5.0
# The key that each treatment needs or may have.
_KEYS = {"answer": "answer", "refuse": "code", "drop_field": "field", "delay": "seconds"}
_BILLED = frozenset({"StartTransaction", "StopTransaction"})
_NOT_PASSED = frozenset({"answer", "refuse"})


def check_policies(settings: Settings, complaints: Complaints) -> None:
    """Complain about policies that cannot be carried out."""
    for index, policy in enumerate(settings.policies):
        path: KeyPath = ("policies", index)
        if not policy.charge_point.strip():
            complaints.add((*path, "charge_point"), "is empty, a * takes every Charge Point")
        known = settings.central_systems
        if policy.central_system not in ("", *known) and not complaints.about(("central_systems",)):
            complaints.add((*path, "central_system"), unknown_central_system(policy.central_system, known))
        if complaints.inside(path):  # the other checks are about several keys
            continue
        if (fault := _action_fault(policy)) is not None:
            complaints.add((*path, "action"), fault)
            continue
        _check_keys(path, policy, complaints)
        _check_treatment(path, policy, settings, complaints)


def _action_fault(policy: Policy) -> str | None:
    action = ACTIONS.get(policy.action)
    if action is None and policy.action not in SECURITY_EXTENSIONS:
        guess = closest(policy.action, (*ACTIONS, *SECURITY_EXTENSIONS))
        hint = f", did you mean {guess}?" if guess else ""
        return f"OCPP 1.6 has no action {quote(policy.action)}{hint}"
    if action is None:
        if policy.do in ("answer", "drop_field"):
            return f"{policy.action} passes unread: it can only be refused or delayed"
    elif Party(policy.sender) not in action.senders:
        return f"no {policy.sender.replace('_', ' ').title()} sends {policy.action}"
    return None


def _check_keys(path: KeyPath, policy: Policy, complaints: Complaints) -> None:
    """Complain about a missing key, and about keys that another treatment has."""
    mine = _KEYS[policy.do]
    for do, key in _KEYS.items():
        value = getattr(policy, key)
        if key == mine and key != "code" and value in (None, ""):
            complaints.add((*path, key), f'missing: do = "{do}" needs it')
        elif key != mine and value not in (None, ""):
            complaints.add((*path, key), f'is for do = "{do}", and this policy has do = "{policy.do}"')


def _check_treatment(path: KeyPath, policy: Policy, settings: Settings, complaints: Complaints) -> None:
    if policy.answer is not None:
        try:
            answer_of(policy.action, policy.answer)
        except MessageError as error:
            complaints.add((*path, "answer"), f"is no answer to {policy.action}: {error.description}")
    if policy.field:
        try:
            path_of_field(policy.action, policy.field)
        except ValueError as error:
            complaints.add((*path, "field"), str(error))
    if policy.seconds is not None:
        _check_delay(path, policy, policy.seconds, settings, complaints)


def _check_delay(path: KeyPath, policy: Policy, seconds: float, settings: Settings, complaints: Complaints) -> None:
    """Complain about a delay after which a Call has no time left to be answered."""
    within = [("gateway.call_timeout", settings.gateway.call_timeout)]
    if policy.sender == "central_system":
        within = [
            (dotted(("routes", index, "command_timeout")), route.command_timeout)
            for index, route in enumerate(settings.routes)
            if route.command_timeout is not None
        ] + within
    key, least = min(within, key=lambda each: each[1])
    if seconds > least - MARGIN:
        text = f"is at most {max(0.0, least - MARGIN):g}: {key} is {least:g}, and {MARGIN:g} are for the answer"
        complaints.add((*path, "seconds"), text)


def cautions(settings: Settings) -> Iterator[str]:
    """Return a line for each policy that keeps a transaction from its Central System."""
    for index, policy in enumerate(settings.policies):
        if policy.sender == "charge_point" and policy.action in _BILLED and policy.do in _NOT_PASSED:
            done = "answered" if policy.do == "answer" else "refused"
            yield (
                f"{dotted(('policies', index))}: a {policy.action} is {done} here: no Central System hears of it, and "
                "the Charge Point does not send it again"
            )
