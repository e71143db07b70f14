"""What a stranger wrote, on the operator's terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.commands import asking, call
from bridge.commands import replay as replaying
from bridge.commands.terminal import escaped_json, say, say_json
from bridge.lab.trace.replay import Result
from bridge.recorder.trace_records import write
from tests.lab.trace import samples

# ESC, BEL, CSI as a C1 control, a right-to-left override, a forged line, a tag that hides.
HOSTILE = "\x1b[2J\x07\x9b31m\u202egnp.exe\n2026-01-01 00:00:00  CP-1  forged\r\U000e0041\x7f"


@given(st.text())
@example(HOSTILE)
def test_one_line_of_what_prints(text: str) -> None:
    said = say_of(text)
    assert said.endswith("\n") and said[:-1].isprintable()
    if text.isprintable():
        assert said == f"{text}\n"


def say_of(text: str) -> str:
    """What `say` writes."""

    class Stream(list[str]):
        def write(self, part: str) -> int:
            self.append(part)
            return len(part)

        def flush(self) -> None:
            pass

    stream = Stream()
    say(text, stream)  # type: ignore[arg-type]  # all that print needs of a stream
    return "".join(stream)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example(HOSTILE)
def test_json_that_says_the_same(text: str) -> None:
    line = escaped_json(json.dumps({"why": text}, ensure_ascii=False).encode())
    assert line.isprintable()
    assert json.loads(line) == {"why": text}


def test_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1bb")
    say("c", sys.stderr)
    say_json({"d": "\u202e"})
    out, err = capsys.readouterr()
    assert (out, err) == ('a\\x1bb\n{"d":"\\u202e"}\n', "c\n")
    assert re.fullmatch(r"[ -~\n]*", out)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, each line of which prints."""
    told = "".join(capsys.readouterr())
    assert all(line.isprintable() for line in told.split("\n"))
    assert not [line for line in told.splitlines() if line.startswith("2026-01-01 00:00:00")]
    return told


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("error", [None, {"code": HOSTILE, "description": HOSTILE, "details": {HOSTILE: HOSTILE}}])
def test_what_a_charge_point_answers(
    error: dict[str, Any] | None, as_json: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answering:
        def send(self, *asked: object) -> dict[str, Any]:
            return {"error": error, "payload": {"data": HOSTILE}}

    monkeypatch.setattr(asking, "reach", lambda *where: Answering())
    where = asking.Where(url="http://127.0.0.1:1", config=None)
    assert call.run(where, "CP", "Reset", "{}", as_json=as_json) == (0 if error is None else 1)
    assert "forged" in shown(capsys)


def test_what_a_trace_and_a_central_system_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(planned: object, charge_point: object, say: Callable[[str], None], **options: object) -> Result:
        say(f"{HOSTILE}: answered otherwise")
        return Result(same=0, different=1, without=0, commands=0)

    @asynccontextmanager
    async def nobody(url: str, identity: str) -> AsyncIterator[None]:
        yield None

    monkeypatch.setattr(replaying, "replay", told)
    monkeypatch.setattr(replaying, "_charge_point", nobody)
    file = tmp_path / "trace.jsonl"
    file.write_text(json.dumps({HOSTILE: HOSTILE}))
    assert replaying.run(file, "ws://127.0.0.1:1", None, None) == 2
    assert shown(capsys)
    file.write_bytes(b"\n".join(map(write, [samples.call("1", "Heartbeat", {}), samples.result("1", {})])))
    assert replaying.run(file, "ws://127.0.0.1:1", "CP", None) == 1
    assert "forged" in shown(capsys)
