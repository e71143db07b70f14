"""What holds for every walk: nothing fails behind the scenes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator

import pytest

from bridge.dialects.dialect import Dialect
from bridge.gateway import services
from bridge.gateway.sessions import mint
from bridge.ocpps.service import SoapService
from bridge.ocpps.wsdl import Service, load

_WATCHED = ("bridge", "asyncio", "aiohttp", "websockets", "spyne")


class _Failures(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")


@pytest.fixture(autouse=True)
def nothing_fails_unseen() -> Iterator[None]:
    """An exception that a task or a server swallowed is on no wire, only in the log."""
    failures = _Failures()
    loggers = [logging.getLogger(name) for name in _WATCHED]
    for logger in loggers:
        logger.addHandler(failures)
    yield
    for logger in loggers:
        logger.removeHandler(failures)
    assert failures.found == []


@pytest.fixture(scope="session", autouse=True)
def endpoints_are_built_once() -> Iterator[None]:
    """Spyne takes a tenth of a second to build those of one gateway, and there are many hundreds of gateways here. An
    endpoint keeps nothing of a message. Those of the processes that the tests start are built anew each time."""
    made: dict[tuple[int, str], SoapService] = {}

    def service(described: Service, _: object, dialect: Dialect) -> SoapService:
        key = id(described), dialect.version
        if key not in made:
            made[key] = SoapService(described, mint, dialect)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "load", functools.cache(load))  # which also keeps what `id` names
        patch.setattr(services, "SoapService", service)
        yield
