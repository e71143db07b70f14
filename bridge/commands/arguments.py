"""What may be said on the command line. Every complaint about it is one sentence, and the exit code is 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from urllib.parse import urlsplit

from bridge import __version__
from bridge.config import Listen
from bridge.config.complaints import closest, one_line
from bridge.ocpp.actions import ACTIONS, Party

if TYPE_CHECKING:
    from bridge.commands import asking

Run: TypeAlias = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Any]"

# On the command line a service is named by who serves it, in the code by the party that calls it.
_SERVICES = {"central-system": Party.CHARGE_POINT, "charge-point": Party.CENTRAL_SYSTEM}
_VERSIONS = ("1.6", "1.5", "1.2")
_OVER_SOAP = ("ocpp1.6s", "ocpp1.5s", "ocpp1.2s")
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (to turn it away)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong, and not all that would be right."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, one_line(f"{self.prog}: {message}") + "\n")


def parser() -> argparse.ArgumentParser:
    """The parser of everything. The arguments that it gives have a `run`, and `stays`: it runs until stopped."""
    top = _Parser(
        prog="ocpp-bridge",
        description="An OCPP-S SOAP gateway and JSON/SOAP bridge for OCPP 1.6.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"ocpp-bridge {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_check(commands)
    _add_password(commands)
    _add_demo(commands)
    _add_translate(commands)
    _add_simulate(commands)
    _add_sessions(commands)
    _add_call(commands)
    _add_trace(commands)
    _add_replay(commands)
    _add_completion(commands, top)
    return top


def _add(commands: Commands, name: str, about: str, *examples: str) -> argparse.ArgumentParser:
    description = f"{about[:1].upper()}{about[1:]}."
    shown = "\n".join(["examples:", *(f"  ocpp-bridge {example}" for example in examples)]) if examples else None
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=description,
        epilog=shown,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return command


def _add_config(command: argparse.ArgumentParser) -> None:
    where = "default: OCPP_BRIDGE_CONFIG, else conf/bridge.toml, else built-in defaults"
    command.add_argument("--config", metavar="FILE", type=Path, help=where)


def _add_where(command: argparse.ArgumentParser) -> None:
    """Of a command that asks a running gateway: what `_where` reads."""
    about = "the gateway's admin address; default: OCPP_BRIDGE_ADMIN_URL, else as the configuration says"
    command.add_argument("--url", metavar="URL", help=about)
    about = "file with the API's token; default: that of the configuration"
    command.add_argument("--token-file", type=Path, metavar="FILE", help=about)
    _add_config(command)


def _where(arguments: argparse.Namespace) -> asking.Where:
    from bridge.commands import asking

    return asking.Where(url=arguments.url, token_file=arguments.token_file, config=arguments.config)


# A command's module is imported when it is run: `check` does not wait for zeep.


def _add_serve(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import serve

        return serve.run(arguments.config)

    command = _add(commands, "serve", "run the gateway")
    _add_config(command)
    command.set_defaults(run=run, stays=True)


def _add_check(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import check

        return check.run(arguments.config)

    command = _add(commands, "check", "say what is wrong with the configuration")
    _add_config(command)
    command.set_defaults(run=run, stays=False)


def _add_password(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import password

        return password.run(token=arguments.token, hexadecimal=arguments.hex)

    command = _add(commands, "password", "the salted hash of a password, for the configuration")
    about = "the password is given as hexadecimal digits, as an AuthorizationKey is"
    command.add_argument("--hex", action="store_true", help=about)
    about = "a new random token in place of it, for the address of a Charge Point that can do nothing else"
    command.add_argument("--token", action="store_true", help=about)
    command.set_defaults(run=run, stays=False)


def _add_demo(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import demo

        return demo.run(once=arguments.once, protocol=arguments.protocol)

    command = _add(commands, "demo", "a charging session through the gateway, on this machine")
    _add_protocol(command, *_OVER_SOAP, default="ocpp1.6s")
    command.add_argument("--once", action="store_true", help="end after it; exit code 0 if all was as expected")
    command.set_defaults(run=run, stays=True)


def _add_translate(commands: Commands) -> None:
    command = _add(commands, "translate", "one message into the other form")
    command.add_argument("--to", required=True, choices=("json", "soap"), help="the form that is wanted")
    about = "the service that is called; default: as the message says, and central-system where it does not"
    command.add_argument("--service", choices=tuple(_SERVICES), help=about)
    about = "of OCPP-S: 1.6, 1.5 or 1.2; default: as the Body's namespace says, and 1.6 where there is none"
    command.add_argument("--version", type=_one_of(_VERSIONS), metavar="VERSION", help=about)
    command.add_argument("--action", type=_action, metavar="NAME", help="what a CALLRESULT answers")
    command.add_argument("--identity", type=_identity, default="CP-1", metavar="ID", help="default: CP-1")
    command.add_argument("--strict", action="store_true", help="refuse what would be repaired or lost")
    command.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: standard input")
    command.set_defaults(run=_translate, stays=False)


def _translate(arguments: argparse.Namespace) -> int:
    from bridge.commands import translate
    from bridge.translate import Wanted

    wanted = Wanted(
        version=arguments.version,
        service=_SERVICES.get(arguments.service),
        action=arguments.action,
        identity=arguments.identity,
        strict=arguments.strict,
        now=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    return translate.run(arguments.to, wanted, arguments.file)


def _add_simulate(commands: Commands) -> None:
    parties = _add(commands, "simulate", "a party to point at a gateway").add_subparsers(
        title="parties", metavar="PARTY", required=True
    )
    _add_charge_point(parties)
    _add_central_system(parties)


def _add_charge_point(parties: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import simulate

        if complaint := _complaint(arguments.url, arguments.protocol):
            print(one_line(f"{party.prog}: argument --url: {complaint}"), file=sys.stderr)
            return 2
        return simulate.charge_point(
            protocol=arguments.protocol,
            url=arguments.url,
            identity=arguments.identity,
            listen=arguments.listen,
            script=arguments.script,
        )

    party = _add(parties, "charge-point", "a Charge Point")
    _add_protocol(party, *_OVER_SOAP, "ocpp1.6j")
    about = "the CentralSystemService that it calls; ocpp1.6j: what it connects to, the identity appended"
    party.add_argument("--url", required=True, help=about)
    party.add_argument("--identity", required=True, type=_identity, metavar="ID", help="its ChargeBoxIdentity")
    where = "where it takes commands, an address that the gateway reaches; default: a free port of 127.0.0.1"
    party.add_argument("--listen", type=_own_address, default=Listen("127.0.0.1", 0), metavar="HOST:PORT", help=where)
    about = "what it sends, a line `Action {JSON}` each, or `wait SECONDS`; default: a session, then Heartbeats"
    party.add_argument("--script", type=Path, metavar="FILE", help=about)
    party.set_defaults(run=run, stays=True)


def _add_central_system(parties: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import simulate

        return simulate.central_system(protocol=arguments.protocol, listen=arguments.listen)

    party = _add(parties, "central-system", "a Central System")
    _add_protocol(party, "ocpp1.6j", "ocpp1.6s")
    party.add_argument("--listen", required=True, type=_listen, metavar="HOST:PORT")
    party.set_defaults(run=run, stays=True)


def _add_sessions(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import sessions

        return sessions.run(_where(arguments), arguments.glob, arguments.state, as_json=arguments.json)

    examples = ("sessions", "sessions 'EVLINK-*' --state stale", "sessions --json | jq -r '.[].identity'")
    command = _add(commands, "sessions", "which Charge Points are there, and how are they", *examples)
    command.add_argument("glob", nargs="?", metavar="GLOB", help="those whose identity fits; default: all")
    about = "up: can be reached now; stale: silent for three heartbeats"
    command.add_argument("--state", choices=("up", "down", "stale"), help=about)
    command.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_call(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import call

        payload, as_json = arguments.payload, arguments.json
        return call.run(_where(arguments), arguments.identity, arguments.action, payload, as_json=as_json)

    examples = (
        """call 'RDAM 123' Reset '{"type": "Soft"}'""",
        """call 'RDAM 123' TriggerMessage '{"requestedMessage": "Heartbeat"}'""",
        "call 'RDAM 123' SendLocalList - < list.json",
    )
    about = "send a Charge Point a command, and wait for its answer: exit code 0 if it gave a result, 1 if not"
    command = _add(commands, "call", about, *examples)
    command.add_argument("identity", type=_identity, metavar="ID", help="the Charge Point's ChargeBoxIdentity")
    sent = [name for name, action in ACTIONS.items() if Party.CENTRAL_SYSTEM in action.senders]
    command.add_argument("action", metavar="ACTION", help=f"one of {', '.join(sent)}")
    about = "the request; default: {}; - reads standard input"
    command.add_argument("payload", nargs="?", default="{}", metavar="JSON", help=about)
    command.add_argument("--json", action="store_true", help="the whole answer as JSON, with its unique id and time")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_trace(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import trace
        from bridge.trace.export import SIDES

        wanted = trace.Wanted(
            identity=arguments.identity,
            since=arguments.since,
            follow=arguments.follow,
            export=arguments.export,
            sides=SIDES if arguments.side == "both" else (arguments.side,),
            as_json=arguments.json,
        )
        return trace.run(_where(arguments), wanted)

    examples = ("trace 'RDAM 123' --follow", "trace --since 2h --json", "trace 'RDAM 123' --export rdam-123.jsonl")
    command = _add(commands, "trace", "what did a Charge Point say, and what was it told", *examples)
    about = "the Charge Point's ChargeBoxIdentity; default: all"
    command.add_argument("identity", nargs="?", type=_identity, metavar="ID", help=about)
    about = "from then on: 90s, 10m, 2h or 7d ago, or a moment in ISO 8601; default: the last ones; all to export"
    command.add_argument("--since", type=_since, metavar="WHEN", help=about)
    command.add_argument("--json", action="store_true", help="each message as a line of JSON")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help="and what happens from now on, until stopped")
    about = "write a trace in the Open OCPP Trace format; - is standard output"
    how.add_argument("--export", type=Path, metavar="FILE", help=about)
    sides = ("charge-point", "central-system", "both")
    about = "whose wire is exported; default: charge-point"
    command.add_argument("--side", choices=sides, default="charge-point", help=about)
    _add_where(command)
    command.set_defaults(run=run, stays=True)


def _add_replay(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import replay

        speed = None if arguments.fast else arguments.speed
        return replay.run(arguments.file, arguments.to, arguments.identity, speed)

    examples = ("replay rdam-123.jsonl --to ws://127.0.0.1:9100/ocpp --fast",)
    about = "send what a Charge Point said again: exit code 0 if the answers are as recorded, 1 if not"
    command = _add(commands, "replay", about, *examples)
    command.add_argument("file", type=Path, metavar="FILE", help="a trace, as `trace --export` writes it")
    about = "a Central System: ws:// or wss://, the identity is appended; http:// or https:// for OCPP-S 1.6"
    command.add_argument("--to", required=True, type=_party_url, metavar="URL", help=about)
    about = "the Charge Point's ChargeBoxIdentity; default: that of the trace"
    command.add_argument("--identity", type=_identity, metavar="ID", help=about)
    pace = command.add_mutually_exclusive_group()
    about = "so many times as fast as it was recorded; default: 1"
    pace.add_argument("--speed", type=_speed, default=1.0, metavar="N", help=about)
    pace.add_argument("--fast", action="store_true", help="each Call as soon as the one before is answered")
    command.set_defaults(run=run, stays=False)


def _add_completion(commands: Commands, top: argparse.ArgumentParser) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import completion

        return completion.run(top, arguments.shell)

    examples = ("completion bash > /etc/bash_completion.d/ocpp-bridge", "completion fish | source")
    command = _add(commands, "completion", "a script that lets the shell complete our commands", *examples)
    command.add_argument("shell", choices=("bash", "zsh", "fish"))
    command.set_defaults(run=run, stays=False)


# Values.


def _add_protocol(party: argparse.ArgumentParser, *protocols: str, default: str | None = None) -> None:
    words = "|".join(protocols)
    about = None if default is None else f"default: {default}"
    kind = _one_of(protocols)
    party.add_argument("--protocol", required=default is None, default=default, type=kind, metavar=words, help=about)


def _one_of(words: Collection[str]) -> Callable[[str], str]:
    def value(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text!r} is unknown, expected {', '.join(words)}")
        return text

    return value


def _action(text: str) -> str:
    if text in ACTIONS:
        return text
    guess = closest(text, ACTIONS)
    meant = f", did you mean {guess}?" if guess else ""
    raise argparse.ArgumentTypeError(f"no action of OCPP 1.6 is called {text!r}{meant}")


def _identity(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 255:
        raise argparse.ArgumentTypeError("a ChargeBoxIdentity is 1 to 255 characters that can be printed")
    return text


def _since(text: str) -> datetime:
    from bridge.commands import trace

    try:
        return trace.since(text)
    except (ValueError, OverflowError):
        text = f"expected 90s, 10m, 2h, 7d or a moment as 2026-01-31T12:00:00Z, not {text!r}"
        raise argparse.ArgumentTypeError(text) from None


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0 is expected, not {text!r}")
    return speed


def _party_url(text: str) -> str:
    if _complaint(text, "ocpp1.6j") is None or _complaint(text, "ocpp1.6s") is None:
        return text
    raise argparse.ArgumentTypeError(f"expected ws://, wss://, http:// or https:// and a host, not {text!r}")


def _listen(text: str) -> Listen:
    try:
        return Listen.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"HOST:PORT is expected, not {text!r}") from None


def _own_address(text: str) -> Listen:
    listen = _listen(text)
    if listen.host in _ANYWHERE:
        raise argparse.ArgumentTypeError(f"{listen.host} is no address that a command can be sent to")
    return listen


def _complaint(url: str, protocol: str) -> str | None:
    """What is wrong with `url` where `protocol` is spoken; an argparse type would not know the protocol."""
    plain, secure = ("ws", "wss") if protocol == "ocpp1.6j" else ("http", "https")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in (plain, secure) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else f"expected {plain}://HOST[:PORT]/PATH, not {url!r}"
