"""The parser of the command line. An error of usage is reported in one sentence, with exit code 2."""

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
from bridge.core.state import STATES
from bridge.lab.demo import LARGEST_FLEET, MOST_WORKERS
from bridge.ocpp.actions import ACTIONS, Party

if TYPE_CHECKING:
    from bridge.commands import asking

Run: TypeAlias = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Any]"

# The command line names a service by the party that provides it, the code by the party that calls it.
_SERVICES = {"central-system": Party.CHARGE_POINT, "charge-point": Party.CENTRAL_SYSTEM}
_VERSIONS = ("1.6", "1.5", "1.2")
_OVER_SOAP = ("ocpp1.6s", "ocpp1.5s", "ocpp1.2s")
_LARGEST_FLEET = 10_000
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (refused as addresses for commands)


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, one_line(f"{self.prog}: {message}") + "\n")


class _Version(argparse.Action):
    """Prints version and commit. argparse's own action wants the text beforehand, and git may have to be asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print them and exit."""
        from bridge.distribution.build import commit

        print(f"ocpp-bridge {__version__}, commit {commit() or 'unknown'}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    The parsed arguments have `run`, which runs the command, and `stays`, whether the command runs until it is stopped.
    """
    top = _Parser(
        prog="ocpp-bridge",
        description="An OCPP-S SOAP gateway and JSON/SOAP bridge for OCPP 1.6.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print version and commit, and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_init(commands)
    _add_serve(commands)
    _add_check(commands)
    _add_backup(commands)
    _add_store(commands)
    _add_password(commands)
    _add_token(commands)
    _add_demo(commands)
    _add_translate(commands)
    _add_simulate(commands)
    _add_sessions(commands)
    _add_charge_points(commands)
    _add_move(commands)
    _add_moves(commands)
    _add_readiness(commands)
    _add_call(commands)
    _add_trace(commands)
    _add_replay(commands)
    _add_audit(commands)
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
    """Add the options of a command that sends requests to a running gateway. `_where` reads them."""
    about = "the gateway's admin address; default: OCPP_BRIDGE_ADMIN_URL, else as the configuration says"
    command.add_argument("--url", metavar="URL", help=about)
    about = "file with the API's token; default: that of the configuration, else admin-token beside the store"
    command.add_argument("--token-file", type=Path, metavar="FILE", help=about)
    command.add_argument("--tenant", metavar="NAME", help="the tenant to ask about; default: the default tenant")
    _add_config(command)


def _where(arguments: argparse.Namespace) -> asking.Where:
    from bridge.commands import asking

    return asking.Where(
        url=arguments.url, token_file=arguments.token_file, config=arguments.config, tenant=arguments.tenant
    )


# The module of a command is imported when the command runs, so that `check` need not import zeep.


def _add_init(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import init

        return init.run(arguments.folder)

    about = "write a configuration, a token and a systemd unit into a new folder"
    command = _add(
        commands, "init", about, "init /etc/ocpp-bridge", "init here && ocpp-bridge serve --config here/bridge.toml"
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="one that is empty or not there yet")
    command.set_defaults(run=run, stays=False)


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

        return check.run(arguments.config, strict=arguments.strict, matrix=arguments.matrix)

    examples = ("check --config bridge.toml", "check --strict", "check --matrix")
    command = _add(commands, "check", "say what is wrong with the configuration, and what stands open", *examples)
    command.add_argument("--strict", action="store_true", help="exit code 1 if something stands open")
    command.add_argument("--matrix", action="store_true", help="print who may send what to whom, for each route")
    _add_config(command)
    command.set_defaults(run=run, stays=False)


def _add_backup(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import backup

        return backup.run(arguments.file, arguments.config)

    command = _add(commands, "backup", "copy the store, while the gateway runs", "backup /var/backups/bridge.db")
    about = "where the copy goes; an earlier copy is replaced, any other file is not"
    command.add_argument("file", metavar="FILE", type=Path, help=about)
    _add_config(command)
    command.set_defaults(run=run, stays=False)


def _add_store(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import store

        return store.import_records(arguments.config)

    group = _add(commands, "store", "the records of a single process").add_subparsers(
        title="what to do", metavar="WHAT", required=True
    )
    about = "bring the records of a single process into the cluster, and rename the store's file"
    command = _add(group, "import", about, "store import --config bridge.toml")
    _add_config(command)
    command.set_defaults(run=run, stays=False)


def _add_password(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import password

        return password.run(token=arguments.token, hexadecimal=arguments.hex)

    command = _add(commands, "password", "print the salted hash of a password, for the configuration")
    about = "the password is given as hexadecimal digits, as an AuthorizationKey is"
    command.add_argument("--hex", action="store_true", help=about)
    about = "a new random token in place of it, for the address of a Charge Point that can do nothing else"
    command.add_argument("--token", action="store_true", help=about)
    command.set_defaults(run=run, stays=False)


def _add_token(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import token

        return token.run(arguments.config, address=arguments.address)

    examples = ("token", "token --address", 'token | install -m 600 /dev/stdin "$HOME/ocpp-bridge-token"')
    command = _add(commands, "token", "print the token of the admin API", *examples)
    command.add_argument("--address", action="store_true", help="the console's address with the token in it")
    _add_config(command)
    command.set_defaults(run=run, stays=False)


def _add_demo(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import demo

        if arguments.workers is None:
            return demo.run(once=arguments.once, protocol=arguments.protocol, fleet=arguments.fleet)
        if arguments.fleet or arguments.protocol != "ocpp1.6s":
            print(f"{command.prog}: --workers goes with neither --fleet nor --protocol", file=sys.stderr)
            return 2
        return demo.run_workers(arguments.workers)

    examples = ("demo", "demo --once", "demo --fleet 50", "demo --workers 2")
    command = _add(commands, "demo", "show a charging session through the gateway, on this machine", *examples)
    _add_protocol(command, *_OVER_SOAP, default="ocpp1.6s")
    command.add_argument("--once", action="store_true", help="end after it; exit code 0 if all was as expected")
    about = f"so many more Charge Points, 1 to {LARGEST_FLEET}, which charge all the time; with --once, once"
    command.add_argument("--fleet", type=_fleet, default=0, metavar="N", help=about)
    about = f"2 to {MOST_WORKERS} processes, of which one is killed in the middle of a session; then it ends"
    command.add_argument("--workers", type=_workers, metavar="N", help=about)
    command.set_defaults(run=run, stays=True)


def _add_translate(commands: Commands) -> None:
    command = _add(commands, "translate", "translate one message into the other form")
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
    from bridge.lab.translation import TranslationRequest

    wanted = TranslationRequest(
        version=arguments.version,
        service=_SERVICES.get(arguments.service),
        action=arguments.action,
        identity=arguments.identity,
        strict=arguments.strict,
        now=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    return translate.run(arguments.to, wanted, arguments.file)


def _add_simulate(commands: Commands) -> None:
    parties = _add(commands, "simulate", "simulate a party, to point it at a gateway").add_subparsers(
        title="parties", metavar="PARTY", required=True
    )
    _add_charge_point(parties)
    _add_central_system(parties)
    _add_fleet(parties)


def _add_charge_point(parties: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import simulate

        if complaint := _unfit(arguments):
            print(one_line(f"{party.prog}: argument {complaint}"), file=sys.stderr)
            return 2
        return simulate.charge_point(
            protocol=arguments.protocol,
            url=arguments.url,
            identity=arguments.identity,
            listen=arguments.listen,
            script=arguments.script,
            shown=simulate.ShownCredentials(
                ca=arguments.ca, certificate=arguments.certificate, password_file=arguments.password_file
            ),
            count=arguments.count,
        )

    examples = (
        "simulate charge-point --protocol ocpp1.6j --url wss://gateway.example:9443/ocpp --identity A --ca ca.pem",
        "simulate charge-point --protocol ocpp1.6s --url http://127.0.0.1:8080/services/CentralSystemService "
        "--identity FLEET --count 300",
    )
    party = _add(parties, "charge-point", "simulate a Charge Point, or a fleet of them", *examples)
    _add_protocol(party, *_OVER_SOAP, "ocpp1.6j")
    about = "the CentralSystemService that it calls; ocpp1.6j: what it connects to, the identity appended"
    party.add_argument("--url", required=True, help=about)
    party.add_argument("--identity", required=True, type=_identity, metavar="ID", help="its ChargeBoxIdentity")
    where = "where it takes commands, an address that the gateway reaches; default: a free port of 127.0.0.1"
    party.add_argument("--listen", type=_own_address, default=Listen("127.0.0.1", 0), metavar="HOST:PORT", help=where)
    about = "what it sends, a line `Action {JSON}` each, or `wait SECONDS`; default: a session, then Heartbeats"
    party.add_argument("--script", type=Path, metavar="FILE", help=about)
    about = "the authorities of the gateway's certificate, as PEM; default: those of this machine"
    party.add_argument("--ca", type=Path, metavar="FILE", help=about)
    about = "the certificate that it shows, with its chain and its key, as PEM"
    party.add_argument("--certificate", type=Path, metavar="FILE", help=about)
    about = "the password that it shows in HTTP Basic"
    party.add_argument("--password-file", type=Path, metavar="FILE", help=about)
    about = "a fleet of so many, called ID-1, ID-2, ... (with leading zeros); it shows how they are, not what they say"
    party.add_argument("--count", type=_count, metavar="N", help=about)
    party.set_defaults(run=run, stays=True)


def _add_central_system(parties: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import simulate

        return simulate.central_system(protocol=arguments.protocol, listen=arguments.listen)

    party = _add(parties, "central-system", "simulate a Central System")
    _add_protocol(party, "ocpp1.6j", *_OVER_SOAP)
    about = "where it takes the connections of the gateway"
    party.add_argument("--listen", required=True, type=_listen, metavar="HOST:PORT", help=about)
    party.set_defaults(run=run, stays=True)


def _add_fleet(parties: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import simulate

        for option, url, protocol in (
            ("--url", arguments.url, "ocpp1.6s"),
            ("--websocket-url", arguments.websocket_url, "ocpp1.6j"),
        ):
            if complaint := _complaint(url, protocol):
                print(one_line(f"{party.prog}: argument {option}: {complaint}"), file=sys.stderr)
                return 2
        return simulate.fleet(
            size=arguments.size, soap_url=arguments.url, websocket_url=arguments.websocket_url, host=arguments.host
        )

    party = _add(parties, "fleet", "Charge Points of OCPP 1.6, 1.5 and 1.2 over SOAP and of 1.6 over JSON that charge")
    party.add_argument("--size", type=_fleet, default=50, metavar="N", help=f"1 to {LARGEST_FLEET}; default: 50")
    party.add_argument("--url", required=True, help="the CentralSystemService that those over SOAP call")
    about = "what those over JSON connect to, the identity appended"
    party.add_argument("--websocket-url", required=True, metavar="URL", help=about)
    about = "this machine's address, where those over SOAP take commands at free ports; default: 127.0.0.1"
    party.add_argument("--host", type=_own_host, default="127.0.0.1", help=about)
    party.set_defaults(run=run, stays=True)


def _add_sessions(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import sessions

        return sessions.run(_where(arguments), arguments.glob, arguments.state, as_json=arguments.json)

    examples = ("sessions", "sessions 'EVLINK-*' --state stale", "sessions --json | jq -r '.[].identity'")
    command = _add(commands, "sessions", "list the Charge Points, with their states", *examples)
    command.add_argument("glob", nargs="?", metavar="GLOB", help="those whose identity fits; default: all")
    about = f"those in one state: {', '.join(STATES)}; stale: silent for 1.5 heartbeat intervals"
    command.add_argument("--state", choices=STATES, metavar="STATE", help=about)
    command.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_charge_points(commands: Commands) -> None:
    group = _add(commands, "charge-points", "what a gateway knows of Charge Points").add_subparsers(
        title="what to do", metavar="WHAT", required=True
    )
    _add_remove(group)
    _add_import(group)
    _add_export(group)


def _add_remove(group: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import charge_points

        return charge_points.remove(
            _where(arguments), arguments.glob, never_accepted=arguments.never_accepted, everybody=arguments.all
        )

    examples = ("charge-points remove 'X-*' --never-accepted", "charge-points remove 'RDAM 123'")
    about = "hang up on Charge Points and forget them: exit code 0, or 1 if none fits"
    command = _add(group, "remove", about, *examples)
    command.add_argument("glob", metavar="GLOB", help="those whose identity fits, letter case aside")
    which = command.add_mutually_exclusive_group()
    about = "only those of which no Central System has ever accepted a BootNotification"
    which.add_argument("--never-accepted", action="store_true", help=about)
    which.add_argument("--all", action="store_true", help="also those that work, where GLOB may fit several")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_import(group: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import charge_points

        return charge_points.import_fleet(_where(arguments), arguments.file, dry_run=arguments.dry_run)

    examples = ("charge-points import fleet.csv --dry-run", "charge-points import fleet.csv")
    about = "give the Charge Points of a CSV file their settings: all of them, or none and exit code 1"
    command = _add(group, "import", about, *examples)
    about = 'its header names the columns: identity, and keys of [charge_points."ID"]; - reads standard input'
    command.add_argument("file", metavar="FILE", type=Path, help=about)
    command.add_argument("--dry-run", action="store_true", help="check the file, and change nothing")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_export(group: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import charge_points

        return charge_points.export_fleet(_where(arguments), arguments.file)

    about = "the settings that were imported or given through the API, as a CSV file without secrets"
    command = _add(group, "export", about, "charge-points export fleet.csv")
    command.add_argument("file", nargs="?", metavar="FILE", type=Path, help="default: standard output")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_move(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import moves

        if arguments.glob is None and arguments.file is None:
            print(f"{command.prog}: say which Charge Points: GLOB, --file or both", file=sys.stderr)
            return 2
        names = ("when", "wave", "pause", "stop_if", "percent", "dry_run")
        options = {name: getattr(arguments, name) for name in names}
        return moves.move(_where(arguments), arguments.glob, arguments.file, arguments.to, options)

    examples = (
        "move 'EVLINK-*' --to new --dry-run",
        "move 'EVLINK-*' --to new --wave 20 --pause 10m --stop-if 'errors>1%'",
        "move --file first.csv --to new --when now",
    )
    about = "move Charge Points to another Central System, in waves: exit code 0 if the move has begun"
    command = _add(commands, "move", about, *examples)
    about = "those whose identity fits, letter case aside; with --file, those of the file that fit"
    command.add_argument("glob", nargs="?", metavar="GLOB", help=about)
    command.add_argument("--to", required=True, metavar="NAME", help="the Central System's name in the configuration")
    about = "idle (default): each as soon as it has no open transaction; now: at once"
    command.add_argument("--when", choices=("idle", "now"), default="idle", help=about)
    command.add_argument("--wave", type=int, default=20, metavar="N", help="how many begin at once; default: 20")
    about = "between the end of a wave and the next one: 90, 90s, 10m or 2h; default: none"
    command.add_argument("--pause", type=_duration, default=0.0, metavar="TIME", help=about)
    about = "'errors>3' or 'errors>1%%': stop when more Charge Points have failed"
    command.add_argument("--stop-if", default="", metavar="CONDITION", help=about)
    about = "move only a part of them, which is the same ones each time"
    command.add_argument("--percent", type=float, default=100.0, metavar="N", help=about)
    about = (
        "identities, in the first column of a CSV file; lines that begin with # and a first line `identity` are skipped"
    )
    command.add_argument("--file", type=Path, metavar="FILE", help=about)
    command.add_argument("--dry-run", action="store_true", help="only print who would move")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_moves(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import moves

        steps, what = ("pause", "resume", "rollback"), arguments.what
        number = arguments.id if what in steps else what
        surplus = what not in steps and arguments.id is not None
        if surplus or (what is not None and not (number or "").isdecimal()):
            print(f"{command.prog}: expected a move's number, or {', '.join(steps)} and a number", file=sys.stderr)
            return 2
        where, as_json = _where(arguments), arguments.json
        if what in steps:
            return moves.tell(where, number, what, as_json=as_json)
        return moves.show(where, number, as_json=as_json)

    about = "list the moves, show one, or pause, resume or roll back one"
    command = _add(commands, "moves", about, "moves", "moves 3", "moves pause 3", "moves rollback 3")
    about = "a move's number; or pause, resume or rollback, and the number"
    command.add_argument("what", nargs="?", metavar="WHAT", help=about)
    command.add_argument("id", nargs="?", metavar="ID", help="the move's number")
    command.add_argument("--json", action="store_true", help="all that is known, as JSON")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _add_readiness(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import readiness

        return readiness.run(_where(arguments), arguments.name, arguments.glob, arguments.ready, as_json=arguments.json)

    examples = ("readiness new", "readiness new 'EVLINK-*' --not-ready", "readiness new --json")
    about = "how a shadow's answers compare: exit code 0 if each Charge Point is ready to be moved to it, 1 if not"
    command = _add(commands, "readiness", about, *examples)
    command.add_argument("name", metavar="NAME", help="the Central System's name in the configuration")
    about = "those whose identity fits, letter case aside; the others count nowhere"
    command.add_argument("glob", nargs="?", metavar="GLOB", help=about)
    which = command.add_mutually_exclusive_group()
    about = "list only Charge Points that are ready"
    which.add_argument("--ready", action="store_const", const="true", help=about)
    about = "list only Charge Points that are not ready"
    which.add_argument("--not-ready", action="store_const", const="false", dest="ready", help=about)
    command.add_argument("--json", action="store_true", help="all that is known, as JSON")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


def _duration(text: str) -> float:
    """Return a duration in seconds: 90, 90s, 10m or 2h."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"expected 90, 90s, 10m or 2h, not {text!r}")
    return int(number) * unit


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
        from bridge.recorder.trace_export import SIDES

        wanted = trace.TraceQuery(
            identity=arguments.identity,
            since=arguments.since,
            follow=arguments.follow,
            export=arguments.export,
            sides=SIDES if arguments.side == "both" else (arguments.side,),
            as_json=arguments.json,
        )
        return trace.run(_where(arguments), wanted)

    examples = ("trace 'RDAM 123' --follow", "trace --since 2h --json", "trace 'RDAM 123' --export rdam-123.jsonl")
    command = _add(commands, "trace", "show what a Charge Point said, and what it was told", *examples)
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


def _add_audit(commands: Commands) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from bridge.commands import audit

        wanted = audit.AuditWanted(
            identity=arguments.glob,
            who=arguments.who,
            what=arguments.what,
            since=arguments.since,
            until=arguments.until,
            export=arguments.export,
            as_json=arguments.json,
        )
        return audit.run(_where(arguments), wanted)

    examples = ("audit --since 7d", "audit 'EVLINK-*' --what 'move*'", "audit --since 2026-01-01 --export audit.csv")
    command = _add(commands, "audit", "what operators did", *examples)
    command.add_argument("glob", nargs="?", metavar="GLOB", help="on the identity, letter case aside; default: all")
    command.add_argument("--who", metavar="GLOB", help="on who did it: '*night desk*'")
    command.add_argument("--what", metavar="GLOB", help="on what was done: 'call Reset', 'move*'")
    about = "from a time such as 2026-01-02T03:04 or an age such as 7d; default: the last ones, or all if exported"
    command.add_argument("--since", type=_since, metavar="WHEN", help=about)
    command.add_argument("--until", type=_since, metavar="WHEN", help="older than that, as --since")
    about = "write them, the newest first: CSV if FILE ends in .csv, else lines of JSON; - is standard output"
    command.add_argument("--export", type=Path, metavar="FILE", help=about)
    command.add_argument("--json", action="store_true", help="one line of JSON each")
    _add_where(command)
    command.set_defaults(run=run, stays=False)


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
    command = _add(commands, "completion", "print a script that lets the shell complete the commands", *examples)
    command.add_argument("shell", choices=("bash", "zsh", "fish"))
    command.set_defaults(run=run, stays=False)


# Types of values.


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


def _fleet(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LARGEST_FLEET:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 1 to {LARGEST_FLEET} is expected, not {text!r}")


def _workers(text: str) -> int:
    if text.isascii() and text.isdecimal() and 2 <= int(text[:9]) <= MOST_WORKERS:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 2 to {MOST_WORKERS} is expected, not {text!r}")


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


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= _LARGEST_FLEET:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 1 to {_LARGEST_FLEET} is expected, not {text!r}")


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
    _own_host(listen.host)
    return listen


def _own_host(text: str) -> str:
    if text in _ANYWHERE:
        raise argparse.ArgumentTypeError(f"{text} is no address that a command can be sent to")
    return text


def _unfit(arguments: argparse.Namespace) -> str | None:
    """Return the first option of `simulate charge-point` that does not fit the others, and why; None if all fit."""
    if complaint := _complaint(arguments.url, arguments.protocol):
        return f"--url: {complaint}"
    if arguments.count is not None and arguments.listen.port:
        return "--listen: the Charge Points of a fleet cannot share one port: say 0"
    plain = arguments.url.lower().startswith(("ws:", "http:"))
    for name, value in (("--ca", arguments.ca), ("--certificate", arguments.certificate)):
        if value is not None and plain:
            return f"{name}: is of no use: the URL does not begin with wss:// or https://"
    return None


def _complaint(url: str, protocol: str) -> str | None:
    """Return the fault of `url` for `protocol`, None if there is none.

    An argparse type could not check this, because a type does not know the value of another option.
    """
    plain, secure = ("ws", "wss") if protocol == "ocpp1.6j" else ("http", "https")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in (plain, secure) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else f"expected {plain}://HOST[:PORT]/PATH, not {url!r}"
