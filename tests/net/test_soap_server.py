"""What the OCPP-S listener keeps of what it has read. What it answers, tests/e2e shows."""

from __future__ import annotations

from bridge.net.soap_server import _LONGEST_PATH, _at_hand


def test_what_long_paths_mean_is_not_kept() -> None:
    read: list[str] = []

    def length(path: str) -> int:
        read.append(path)
        return len(path)

    at_hand = _at_hand(length)
    for most, times in ((_LONGEST_PATH, 1), (_LONGEST_PATH + 1, 3)):
        read.clear()
        assert [at_hand("a" * most) for _ in range(3)] == [most] * 3
        assert len(read) == times
