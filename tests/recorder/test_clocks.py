"""The clocks that tell how busy the process is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.recorder.clocks import Watch


@pytest.mark.parametrize(("text", "waited"), [("17 2500000000 3\n", 2.5), ("", 0.0), ("not that", 0.0)])
def test_how_long_it_waited_for_a_core(tmp_path: Path, text: str, waited: float) -> None:
    file = tmp_path / "schedstat"
    file.write_text(text)
    watch = Watch(str(file))
    assert watch.read().waited == waited
    watch.close()
    assert watch.read().waited == 0.0


def test_where_it_is_not_told(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path / "none"))
    first, second = watch.read(), watch.read()
    assert (first.waited, second.waited) == (0.0, 0.0)
    assert first.wall <= second.wall and first.process <= second.process and first.thread <= second.thread
    watch.close()
