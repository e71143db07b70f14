"""`make fuzz`: each target under atheris for so many seconds. Says how many executions there were, and what was found.

    python -m tests.fuzz [--seconds N] [TARGET ...]

What was learnt stays in `.fuzz/`, for the next time; what was found lies there too, to be run again by
`python -m tests.fuzz --again FILE TARGET`. Exit code 1 if something was found, 2 if there is no atheris.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(".fuzz")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_LONGEST = 8192


def main() -> int:
    arguments = _arguments()
    if find_spec("atheris") is None:
        print("make fuzz needs atheris, which could not be installed for this Python", file=sys.stderr)
        return 2
    if arguments.inside:
        return _fuzz(arguments.targets[0], arguments.rest)
    from tests.fuzz.targets import TARGETS

    if arguments.again:
        TARGETS[arguments.targets[0]].run(Path(arguments.again).read_bytes())
        return 0
    return max([_run(name, arguments.seconds) for name in arguments.targets or TARGETS])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--again", help="a file to run a target with")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parsed, parsed_rest = parser.parse_known_args()
    parsed.rest = parsed_rest
    return parsed


def _run(name: str, seconds: int) -> int:
    """Fuzz one target in a process of its own: it ends with one."""
    from tests.fuzz.targets import TARGETS

    corpus = _HERE / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz", "--inside", name]
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={_HERE}/{name}-", f"-max_len={_LONGEST}"]
    done = subprocess.run(
        [*command, "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048", *options, str(corpus)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    executed = _EXECUTED.search(done.stderr)
    count = f"{int(executed[1]):,}" if executed else "an unknown number of"
    if done.returncode == 0 and executed:
        print(f"{name}: {count} executions in {seconds} s, nothing found", flush=True)
        return 0
    print(f"{name}: {count} executions, and a finding (in {_HERE}/):\n{done.stderr[-6000:]}", flush=True)
    return 1


def _fuzz(name: str, options: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["bridge"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([name, *options], TARGETS[name].run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
