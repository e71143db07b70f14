"""Certificates that end soon: told in the log, in `/readyz` and in a metric, while the bridge goes on serving."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.config import TLS, CentralSystem, ChargePoint, ClientTLS, Settings
from bridge.gateway.certificate_ends import CertificateEnds, read_ends
from tests.admin.asked import api_of
from tests.authority import Authority
from tests.e2e.stage import logged, running, settings

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def ending(authority: Authority, name: str, days: float) -> dict[str, Any]:
    """The files of a certificate that ends after so many days, and a bit."""
    return authority.issue(name, "127.0.0.1", not_after=NOW + timedelta(days=days, hours=1))


def told(authority: Authority, *, days: float) -> Settings:
    """A listener whose certificate ends after so many days. That towards a Central System ends after 400."""
    system = CentralSystem(url="wss://127.0.0.1:1/", tls=ClientTLS(**ending(authority, "bridge", 400)))
    points = {
        identity: ChargePoint(callback_url="https://10.0.0.1/", tls=ClientTLS(**ending(authority, identity, each)))
        for identity, each in (("RDAM 1", 90), ("RDAM 2", 60))
    }
    plain = settings("", soap={"tls": TLS(**ending(authority, "gateway", days))}, charge_points=points)
    return msgspec.structs.replace(plain, central_systems={"main": system})


async def test_one_that_ends_soon_is_told_and_changes_nothing(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="bridge.trust")
    async with running(told(authority, days=20)) as gateway, api_of(gateway) as api:
        health = (await api("GET", "//readyz")).data
        assert (health["status"], health["certificates"]["soap.tls"]["days"]) == ("ready", 20)
        ends = datetime.fromisoformat(health["certificates"]["soap.tls"]["ends"])
        assert ends == NOW + timedelta(days=20, hours=1)
        assert list(health["certificates"]) == ["soap.tls"]
        assert "the certificate ends soon" in caplog.text
        metrics = (await api("GET", "//metrics")).data.decode()
        stands = {
            line.split('"')[1]: float(line.split()[-1])
            for line in metrics.splitlines()
            if line.startswith("ocpp_bridge_certificate_not_after_seconds{")
        }
        days = {"soap.tls": 20, "central_systems.main.tls": 400, "charge_points": 60}
        assert stands == {table: (NOW + timedelta(days=each, hours=1)).timestamp() for table, each in days.items()}
        assert "RDAM" not in metrics
        # It is read again with the certificates.
        await gateway.reload(told(authority, days=300))
        assert (await api("GET", "//readyz")).data["certificates"] == {}


def test_one_that_has_ended(authority: Authority) -> None:
    ends = CertificateEnds(clock=lambda: (NOW + timedelta(days=25)).timestamp())
    with logged() as lines:
        ends.take(read_ends(told(authority, days=20)))
    assert ends.warnings()["soap.tls"].days == -5
    assert any("the certificate has ended" in line for line in lines)


def test_the_end_of_the_one_in_use_stays_when_its_files_are_broken(authority: Authority, tmp_path: Path) -> None:
    good = told(authority, days=20)
    ends = CertificateEnds(clock=NOW.timestamp)
    ends.take(read_ends(good))
    before = ends.by_table()
    mismatched = Path(authority.issue("other", "127.0.0.1")["certificate"]).read_text()
    for broken in ("broken", mismatched):
        (tmp_path / "gateway.pem").write_text(broken)
        ends.take(read_ends(good, again=True))
    assert ends.by_table() == before and "soap.tls" in ends.warnings()
    ends.take({})
    assert ends.by_table() == {}


def test_of_a_chain_the_first_that_ends_counts(authority: Authority, tmp_path: Path) -> None:
    settings_ = told(authority, days=300)
    soon = Path(ending(authority, "intermediate", 5)["certificate"]).read_text()
    with (tmp_path / "gateway.pem").open("a") as chain:
        chain.write(soon)
    ends = CertificateEnds(clock=NOW.timestamp)
    ends.take(read_ends(settings_))
    assert ends.warnings()["soap.tls"].days == 5
