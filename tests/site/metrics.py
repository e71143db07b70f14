"""The reference of metrics and alerts, made from `bridge.admin.metrics` and `deploy/prometheus/alerts.yml`."""

from __future__ import annotations

import re

import yaml

from bridge.admin.metrics import TRANSPORTS, VERSIONS
from bridge.core.commands import Outcome
from bridge.core.moves import MoveState
from bridge.core.state import STATES
from bridge.ocpp.actions import Party
from tests.admin.test_metrics import meter_of_a_cluster
from tests.site.markdown import code, table, words
from tests.site.pages import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
_TEMPLATE = re.compile(r"\{\{ *\$(?:labels\.)?(\w+)[^}]*\}\}")
# What Prometheus finds behind the name of a metric of this type.
_SUFFIXES = {"counter": "_total", "info": "_info"}
# What each word of the label `outcome` says.
OUTCOMES: dict[Outcome, str] = {
    Outcome.RESULT: "answered with a result",
    Outcome.ERROR: "answered with a CALLERROR or a Fault",
    Outcome.UNANSWERED: "not answered: a link failure",
    Outcome.REFUSED: "refused by the bridge",
    Outcome.REPEATED: "a repetition, answered with the answer that the first copy got",
    Outcome.RETRANSMITTED: "the same frame again while its Call was in progress",
    Outcome.ABANDONED: "its sender closed the connection before the answer",
}


def reference() -> str:
    """Return a table with each metric of the bridge, its labels and its meaning."""
    rows = []
    for family in meter_of_a_cluster().collect():
        name = f"{family.name}{_SUFFIXES.get(family.type, '')}"
        labels: tuple[str, ...] = getattr(family, "_labelnames", ())
        rows.append((code(name), family.type, ", ".join(map(code, labels)), family.documentation))
    return table(("metric", "type", "labels", "meaning"), rows)


def labels() -> str:
    """Return a table with the values of each label."""
    parties = words(code(party.value) for party in Party)
    outcomes = "; ".join(f"{code(outcome.value)}: {text}" for outcome, text in OUTCOMES.items())
    rows = [
        ("`from`", f"{parties}: the sender"),
        ("`to`", f"{parties}: the receiver"),
        ("`transport`", f"{words(map(code, TRANSPORTS))}; of sessions `unknown`, too: never heard of"),
        ("`action`", "a name of OCPP 1.6, or `other`"),
        ("`outcome`", outcomes),
        ("`dialect`", f"{words(map(code, VERSIONS))}: the OCPP version of the party that speaks SOAP"),
        ("`message`, `field`", "the message, such as `MeterValuesRequest`, and the path of its field"),
        ("`state` of sessions", words(map(code, STATES))),
        ("`state` of moves", words(code(state.value) for state in MoveState)),
        ("`state` of central_system_links", "`connected`, or `unreachable`: wanted, and could not be opened"),
        ("`central_system`", "the name of its table `[central_systems.NAME]`"),
        ("`table`", "the path of a TLS table of the configuration, or `charge_points`: all tables of Charge Points"),
        ("`receiver`", "the name in its table `[[events]]`"),
        ("`by`", "`operator` or `bridge`: who sent the Call"),
        ("`reason` of refusals", "[below](#reasons-of-refusals)"),
        ("`reason` of link failures", "[below](#reasons-of-link-failures)"),
    ]
    return table(("label", "values"), rows)


def alerts() -> str:
    """Return a table with each alert."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    rows = [
        (code(rule["alert"]), rule["labels"]["severity"], _text(rule["annotations"]))
        for group in groups
        for rule in group["rules"]
    ]
    return table(("alert", "severity", "meaning"), rows)


def _text(annotations: dict[str, str]) -> str:
    """Return the summary and the description, with the names of the values in place of the values."""
    said = [annotations["summary"].rstrip(".") + ".", annotations.get("description", "")]
    return _TEMPLATE.sub(lambda found: f"*{found[1]}*", " ".join(said).strip())
