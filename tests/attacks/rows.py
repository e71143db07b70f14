"""All attacks, by what they go through; and the table of them in docs/attacks.md. `python -m tests.attacks.rows` makes
each, or those that are named, and writes the table."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from tests.attacks.callbacks import CALLBACKS
from tests.attacks.connections import CONNECTIONS
from tests.attacks.identities import IDENTITIES
from tests.attacks.messages import MESSAGES
from tests.attacks.operators import OPERATORS
from tests.attacks.proxies import PROXIES
from tests.attacks.resources import RESOURCES
from tests.attacks.sign_ins import SIGN_INS
from tests.attacks.stage import Row, besieged
from tests.e2e.stage import run

DOCUMENT = Path(__file__).parents[2] / "docs" / "attacks.md"
SECTIONS: Mapping[str, Mapping[str, Row]] = {
    "What a message holds": MESSAGES,
    "Connections, heads and frames": CONNECTIONS,
    "Identities, passwords and certificates": IDENTITIES,
    "Where the bridge calls back": CALLBACKS,
    "Who speaks for others": PROXIES,
    "What all share": RESOURCES,
    "What operators use": OPERATORS,
    "How operators sign in": SIGN_INS,
}
# What came of the attacks of each section, in one sentence.
IN_SUM: Mapping[str, str] = {
    "What a message holds": "A Fault, a CALLERROR or a close code. A message that is only odd is read, and costs "
    "at most what a valid message may cost.",
    "Connections, heads and frames": "HTTP 400, 405, 408, 431 or 503, or a closed WebSocket.",
    "Identities, passwords and certificates": "HTTP 400, 401, 403, 404 or 429. Valid credentials work meanwhile.",
    "Where the bridge calls back": "The command fails. The bridge connects to nothing.",
    "Who speaks for others": "HTTP 400 or 403, or a closed connection.",
    "What all share": "HTTP 503 for whoever uses more than its share. The others are served.",
    "What operators use": "HTTP 401 or 403. The log holds nothing that a terminal would act on.",
    "How operators sign in": "HTTP 400, 401 or 403, and nobody is signed in.",
}
ROWS: dict[str, Row] = {name: row for rows in SECTIONS.values() for name, row in rows.items()}
_BEGIN, _END = "<!-- attacks -->\n", "<!-- end of attacks -->"
_LINE = re.compile(r"^\| (?P<name>.+) \| (?P<tries>[0-9]+) \| (?P<gets>.+) \|$", re.MULTILINE)


class Outcome(Struct, frozen=True):
    """How often the attacker tried, and what that got."""

    tries: int
    gets: str


class Made(Struct, frozen=True):
    """An attack that was made: its Outcome, and how many Heartbeats of the honest were answered meanwhile."""

    outcome: Outcome
    answered: int


def made(row: Row, folder: Path) -> Made:
    """Make the attack. Raises AssertionError if anybody else has noticed anything."""

    async def walk() -> Made:
        async with besieged(row, folder) as siege:
            gets = await row.attack(siege)
        answered = sum(neighbour.answered for neighbour in siege.neighbours)
        return Made(Outcome(siege.tries, gets), answered)

    return run(walk())


def documented() -> dict[str, Outcome]:
    """The table of docs/attacks.md."""
    return {line["name"]: Outcome(int(line["tries"]), line["gets"]) for line in _LINE.finditer(DOCUMENT.read_text())}


def table(outcomes: Mapping[str, Outcome]) -> str:
    """The same, to be written."""
    lines: list[str] = []
    for section, rows in SECTIONS.items():
        lines += [f"## {section}", "", "| Attack | Times | What came of it |", "|---|---|---|"]
        lines += [f"| {name} | {outcomes[name].tries} | {outcomes[name].gets} |" for name in rows]
        lines.append("")
    return "\n".join(lines)


def summary() -> str:
    """Return a table with the number of attacks and of tries of each section, for docs/limits.md."""
    outcomes = documented()
    lines = [
        "| what is attacked | attacks | messages, handshakes, connections | what came of it |",
        "|---|---|---|---|",
    ]
    for section, rows in SECTIONS.items():
        tries = sum(outcomes[name].tries for name in rows)
        lines.append(f"| {section} | {len(rows)} | {tries} | {IN_SUM[section]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    outcomes = documented()
    for name, row in ROWS.items():
        if len(sys.argv) > 1 and name not in sys.argv:
            continue
        with TemporaryDirectory() as folder:
            outcomes[name] = made(row, Path(folder)).outcome
        print(name, outcomes[name], flush=True)
    before, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    DOCUMENT.write_text(f"{before}{_BEGIN}\n{table(outcomes)}{_END}{rest.partition(_END)[2]}")


if __name__ == "__main__":
    main()
