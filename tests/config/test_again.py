"""A file that is read once more, and was cut off or emptied meanwhile."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.again import Seen
from bridge.config.complaints import Complaints

FILE = """\
# The fleet.
[soap]
listen = "0.0.0.0:8080"
max_body = 262144

[central_systems.main]
url = "wss://csms.example.com/ocpp"
reconnect_max = 600

[[routes]]
charge_point = "*"
central_system = "main"

[charge_points.A]
password = "a"

# The last one.
[charge_points.B]
password = "b"
"""
# Where whole tables at the end may have been deleted by somebody.
BOUNDARIES = [FILE.index(f"\n{end}") + 1 for end in ("[charge_points.A]", "# The last one.", "[charge_points.B]")]


def complaints(before: str, now: str) -> list[str]:
    """What is said of a file that held `before`, which is in force, and holds `now`."""
    seen, found = Seen(), Complaints("conf")
    seen.look({"conf": before.encode()}, tomllib.loads(before), found)
    assert found.found == []
    seen.take_over()
    seen.look({"conf": now.encode()}, tomllib.loads(now), found)
    return [str(complaint) for complaint in found.found]


@given(st.integers(0, len(FILE.rstrip()) - 1))
def test_wherever_it_is_cut_off_nothing_is_taken_over(at: int) -> None:
    """What is no TOML any more is turned away when it is read."""
    try:
        tomllib.loads(FILE[:at])
    except tomllib.TOMLDecodeError:
        return
    assert complaints(FILE, FILE[:at]) or any(FILE[boundary - 1 : at].strip() == "" for boundary in BOUNDARIES)


@pytest.mark.parametrize("now", ["", "\n\n", "# nothing\n"])
def test_an_empty_file(now: str) -> None:
    assert complaints(FILE, now) == ["conf: is empty: it held a configuration when it was last read"]
    assert complaints("", now) == []


def test_one_without_a_central_system() -> None:
    (line,) = complaints(FILE, '[soap]\nlisten = "127.0.0.1:8080"\n')
    assert line.startswith("conf: central_systems: there is none any more")
    assert complaints(FILE, "central_systems = {}\n")[0].startswith("conf: central_systems: ")
    assert complaints("[gateway]\ncall_timeout = 5\n", "[gateway]\ncall_timeout = 6\n") == []


def test_what_an_operator_changes_is_taken_over() -> None:
    """The last tables deleted, a blank line less at the end, a number, anything in the middle."""
    for at in BOUNDARIES:
        assert complaints(FILE, FILE[:at]) == []
    assert complaints(FILE, FILE.rstrip()) == complaints(FILE, FILE) == []
    assert complaints(FILE, FILE.replace("600", "60")) == []
    assert complaints(FILE, FILE.replace('password = "a"\n', "")) == []


def test_what_is_in_force_is_what_was_taken_over_last() -> None:
    seen, found = Seen(), Complaints("conf")
    for content in (FILE, FILE[: BOUNDARIES[1]], FILE):
        seen.look({"conf": content.encode()}, tomllib.loads(content), found)
        seen.take_over()
    seen.look({"conf": b""}, {}, found)
    assert len(found.found) == 1
