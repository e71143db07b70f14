"""Find listeners and commands that need no credentials, and secrets that others can read.

The bridge starts in spite of them. The command `check` and the start report them, and `check --strict` fails.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bridge.config import oidc, sources
from bridge.config.access import SHORT, lets_anybody_in
from bridge.config.complaints import Complaints, dotted
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import Place, is_local, places
from bridge.config.reading import read_table
from bridge.config.records import (
    Admin,
    Listen,
    Route,
    Secret,
    SecretFile,
    Settings,
    Soap,
    Table,
    WebSocket,
)
from bridge.ocpp.tenants import named


def exposed(settings: Settings, files: Sequence[Path] = ()) -> Iterator[str]:
    """Return a line for each exposure in `settings`. `files` are those of the configuration, the main file first."""
    yield from _listeners(settings)
    for name, central_system in settings.central_systems.items():
        open_to_all = not central_system.networks and central_system.password is None
        if central_system.protocol != "ocpp1.6j" and open_to_all:
            key = dotted(("central_systems", name))
            yield f"{key}: whoever reaches the SOAP listener can command its Charge Points; set networks or password"
    yield from _tokens(settings.admin)
    yield from oidc.exposed(settings.admin)
    yield from _readable(settings, files)


def _listeners(settings: Settings) -> Iterator[str]:
    for place in places(settings):
        if isinstance(place.table, Admin) or is_local(place.table.listen):
            continue
        if isinstance(place.table, Soap) and _leads_to_loopback(place.table.public_url):
            text = "is an address of this machine only, and the listener is open to others: they cannot call it"
            yield f"{dotted((*place.path, 'public_url'))}: {text}"
        if not _asks_for_something(place):
            for index, route in enumerate(settings.routes):
                if _leads_to(place.table, route) and lets_anybody_in(route, settings):
                    key = dotted(("routes", index, "authentication"))
                    yield f"{key}: {place.key}.listen is open to others, and this route asks for no authentication"


def _leads_to(listener: Soap | WebSocket, route: Route) -> bool:
    """Return whether peers of the listener may be of the route's tenant."""
    return not listener.tenant or named(listener.tenant) == named(route.tenant)


def _asks_for_something(place: Place) -> bool:
    """Return whether the listener itself refuses unknown peers: it requires a network or a client certificate."""
    if isinstance(place.table, Admin) or place.table.peers:
        return True
    tls = place.table.tls
    return tls is not None and bool(tls.client_ca) and tls.client_certificate != "asked"


def _leads_to_loopback(url: str) -> bool:
    return is_local(Listen(urlsplit(url).hostname or "", 0))


def _tokens(admin: Admin) -> Iterator[str]:
    for path, token in secrets(admin, ("admin",)):
        if len(token.reveal().strip()) < SHORT:
            yield f"{_key(path, token)}: has fewer than {SHORT} characters, and can be guessed"


def _readable(settings: Settings, files: Sequence[Path]) -> Iterator[str]:
    """Return a line for each file with secrets that users other than its owner and group can read."""
    found = list(secrets(settings))
    for path, secret in found:
        if secret.file and others_read(Path(secret.file)):
            yield f"{_key(path, secret)}: the file can be read by others than its owner: chmod o= it"
    for index, file in enumerate(files):
        if others_read(file) and (inside := _secret_inside(file)) is not None:
            which = f"{sources.name_of(file)}: " if index else ""
            text = "the file can be read by others than its owner, and has secrets in it"
            yield f"{which}{text} ({inside}): chmod o= it"


def _secret_inside(file: Path) -> str | None:
    """Return the key of the first secret whose value is in the file itself, None if there is none."""
    raw = sources.parsed(file, sources.content(file))
    own = read_table(Settings, raw, (), Complaints(""))
    return next((dotted(path) for path, secret in secrets(own) if secret.file == ""), None)


def _key(path: KeyPath, secret: Secret) -> str:
    """Return the key as written in the file: `..._file` for a secret in a file of its own."""
    in_file = bool(secret.file) and not isinstance(secret, SecretFile)
    return f"{dotted(path)}_file" if in_file else dotted(path)


def others_read(path: Path) -> bool:
    """Return whether all users of the machine may read the file; False if the file does not exist."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def secrets(table: Table, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Secret]]:
    """Return all secrets in `table` and the tables below it, each with the path of its key."""
    for name in table.__struct_fields__:
        yield from _secrets_in(getattr(table, name), (*path, name))


def _secrets_in(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, Secret]]:
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, Table):
        yield from secrets(value, path)
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            if isinstance(entry, Table):
                yield from secrets(entry, (*path, index))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _secrets_in(entry, (*path, name))
