"""Build the PolicyTable of the core from the policies of the configuration, which were checked when it was read."""

from __future__ import annotations

from bridge.config import Policy, Settings
from bridge.core.policies import PolicyRule, PolicyTable, Treatment, answer_of, path_of_field
from bridge.errors import ErrorCode
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants
from bridge.ocpp.actions import Party


def policy_table_of(settings: Settings) -> PolicyTable:
    """Return the PolicyTable for `settings`."""
    return PolicyTable([_rule(policy) for policy in settings.policies])


def _rule(policy: Policy) -> PolicyRule:
    return PolicyRule(
        charge_point=identities.normal(policy.charge_point),
        sender=Party(policy.sender),
        central_system=policy.central_system,
        tenant=None if policy.tenant == tenants.ALL else tenants.named(policy.tenant),
        action=policy.action,
        do=Treatment(policy.do),
        answer=None if policy.answer is None else answer_of(policy.action, policy.answer),
        code=ErrorCode(policy.code or ErrorCode.NotSupported),
        field=path_of_field(policy.action, policy.field) if policy.field else (),
        seconds=policy.seconds or 0.0,
    )
