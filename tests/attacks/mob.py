"""The hostile side of a soak: every attack of the table that a bridge as it comes must bear, and strangers without
number, each of a name and an address that was never seen before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from tests.attacks.connections import CONNECTIONS
from tests.attacks.identities import IDENTITIES
from tests.attacks.messages import MESSAGES
from tests.attacks.stage import Siege
from tests.attacks.weapons import basic, handshaken, posted
from tests.e2e.stage import envelope

_ROWS = {name: row for name, row in (MESSAGES | CONNECTIONS | IDENTITIES).items() if row.plain}
_DRAWN, _STRANGERS = 10, 30  # in a minute


class Mob:
    """All of them, one after the other. `attacks` counts what they did, `restarts` how often the Central Systems were
    taken away or came back."""

    def __init__(self, siege: Siege, random: Random, restarts: Callable[[], int]) -> None:
        self.attacks = 0
        self._restarts = restarts
        self._siege = siege
        self._random = random

    async def minute(self, *, everything: bool) -> None:
        """A minute's worth; `everything` is each row of the table, otherwise some are drawn."""
        names = list(_ROWS) if everything else self._random.sample(list(_ROWS), _DRAWN)
        for name in names:
            await self._attack(name)
        for _ in range(_STRANGERS):
            await self._stranger()

    async def _attack(self, name: str) -> None:
        """Once more, if a Central System went or came meanwhile: then nobody is let in."""
        restarts = -1
        while restarts != self._restarts():
            restarts = self._restarts()
            received = self._siege.central_system.received
            received[:] = [call for call in received if call[0].startswith("good")]
            try:
                assert await _ROWS[name].attack(self._siege) == _ROWS[name].gets, name
            except (AssertionError, EOFError, OSError):
                if restarts % 2 == 0 and restarts == self._restarts():
                    raise
            self.attacks += 1

    async def _stranger(self) -> None:
        """Names that no route takes, passwords that are wrong, callbacks that lead elsewhere, and a hasty goodbye."""
        drawn = self._random.randbytes(8).hex()
        peer = f"127.{self._random.randrange(1, 255)}.{self._random.randrange(255)}.{self._random.randrange(1, 255)}"
        siege = self._siege
        assert await posted(siege, envelope(identity=f"stranger {drawn}"), peer=peer) == "400 IdentityMismatch"
        assert await handshaken(siege, f"/ocpp/stranger%20{drawn}", peer=peer) == "404"
        guess = basic("locked", drawn.encode())
        assert await handshaken(siege, "/ocpp/locked", f"Authorization: {guess}", peer=peer) in ("401", "429")
        body = envelope(identity="evil", source=f"http://10.{drawn}.example:{self._random.randrange(1024, 65536)}/")
        with contextlib.suppress(AssertionError):
            await posted(siege, body, peer=peer)
        self.attacks += 4
