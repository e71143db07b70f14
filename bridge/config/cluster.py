"""Check the settings of several processes, and give each worker its part of the configuration.

A configuration is one of a cluster if it has workers or names NATS servers. With `workers = "auto"` it is one on each
machine, so that the place of the records does not depend on the number of CPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import is_local, places
from bridge.config.records import ClientTLS, Cluster, Limits, Listen, Secret, Settings
from bridge.config.tls import check_exists
from bridge.config.urls import check_url

_SCHEMES = ("nats", "tls")
# A name is a part of a subject of NATS, whose parts have dots between them.
_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_A_NODE = re.compile(r"[^A-Za-z0-9_-]+")
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # noqa: S104 (refused, not bound)
_HIGHEST_PORT = 65535


def is_cluster(settings: Settings) -> bool:
    """Return whether the records of the bridge are shared by several processes, and not in `store.url`."""
    return has_workers(settings) or bool(settings.cluster.servers)


def has_workers(settings: Settings) -> bool:
    """Return whether a supervisor starts worker processes: even one, for "auto" on a machine with one CPU."""
    return settings.gateway.workers != 1


def check_cluster(settings: Settings, complaints: Complaints) -> None:
    """Complain about settings of several processes that cannot work."""
    cluster = settings.cluster
    for index, url in enumerate(cluster.servers):
        _check_server(("cluster", "servers", index), url, complaints)
    if cluster.node and not _NODE.fullmatch(cluster.node):
        text = 'expected at most 64 ASCII letters, digits, "-" and "_", got '
        complaints.add(("cluster", "node"), text + quote(cluster.node))
    if cluster.server_binary:
        check_exists(("cluster", "server_binary"), cluster.server_binary, "file", complaints)
    _check_credentials(cluster, complaints)
    if cluster.tls is not None:
        for key in ("certificate", "key", "ca"):
            if not complaints.about(("cluster", "tls", key)):
                check_exists(("cluster", "tls", key), getattr(cluster.tls, key), "file", complaints)
    if cluster.listen is not None:
        _check_listen(cluster.listen, settings, complaints)
    if has_workers(settings) and settings.store.url == "memory:":
        _check_memory(settings, complaints)


def _check_memory(settings: Settings, complaints: Complaints) -> None:
    """Complain about workers without a folder of their own."""
    if not settings.cluster.servers:
        text = '"memory:" names no folder for the NATS server of the workers: name a file, or cluster.servers'
        complaints.add(("store", "url"), text)
    elif settings.admin.token is None:
        text = 'missing: with store.url = "memory:", each worker would make a token of its own'
        complaints.add(("admin", "token_file"), text)


def _check_server(path: KeyPath, url: str, complaints: Complaints) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        text = "an address holds no credentials: cluster.username, password_file and credentials_file hold them"
        complaints.add(path, text)
        return
    check_url(path, url, _SCHEMES, complaints, query=False)
    if not complaints.about(path) and urlsplit(url).path.strip("/"):
        complaints.add(path, "the address has a path")


def _check_credentials(cluster: Cluster, complaints: Complaints) -> None:
    if cluster.username and cluster.password is None and not complaints.inside(("cluster", "password_file")):
        complaints.add(("cluster", "password_file"), "missing: a username alone proves nothing")
    if cluster.credentials is not None and (cluster.username or cluster.password is not None):
        key = "credentials" if cluster.credentials.file == "" else "credentials_file"
        complaints.add(("cluster", key), "is given beside a username or a password, one of the two is enough")


def _check_listen(listen: Listen, settings: Settings, complaints: Complaints) -> None:
    path: KeyPath = ("cluster", "listen")
    last = listen.port + most_workers(settings) - 1
    if listen.host in _UNSPECIFIED:
        text = f"expected the address by which nodes on other machines reach this one, got {listen}"
        complaints.add(path, text)
    elif listen.port == 0:
        complaints.add(path, "expected a port: nodes on other machines connect to it")
    elif last > _HIGHEST_PORT:
        complaints.add(path, f"the last worker would have port {last}: each worker has the next one")
    elif settings.cluster.tls is None and not is_local(listen):
        text = "needs [cluster.tls]: whoever reaches the address could take the place of a node"
        complaints.add(path, text)
    for place in places(settings):
        taken = place.table.listen.port
        if listen.port <= taken <= last and not complaints.about(path):
            complaints.add(path, f"port {taken} is taken by {dotted((*place.path, 'listen'))}")


def most_workers(settings: Settings) -> int:
    """Return the number of workers as far as the configuration says it: 1 for "auto"."""
    return 1 if settings.gateway.workers == "auto" else settings.gateway.workers


def cautions(settings: Settings) -> Iterator[str]:
    """Return a line for each setting of several processes that has no effect, or perhaps not the intended one."""
    cluster = settings.cluster
    if not is_cluster(settings):
        if cluster != Cluster():
            yield "cluster: is of no use: gateway.workers is 1 and cluster.servers is empty"
        return
    if not cluster.servers:
        used = ("listen", "username", "password", "credentials", "tls")
        for key in (key for key in used if getattr(cluster, key) != getattr(Cluster(), key)):
            text = "is of no use without cluster.servers: other machines do not share the server of this one"
            yield f"cluster.{key}: {text}"
    if cluster.servers and cluster.server_binary:
        yield "cluster.server_binary: is of no use: cluster.servers names servers that are running"
    if cluster.listen is None and not all(map(_is_on_this_machine, cluster.servers)):
        yield "cluster.listen: missing: nodes on other machines cannot reach this one"
    if cluster.servers and cluster.tls is not None and cluster.listen is None and not _has_secure(cluster):
        yield "cluster.tls: is of no use: there is no cluster.listen, and no server whose address begins with tls://"


def _is_on_this_machine(url: str) -> bool:
    return is_local(Listen(urlsplit(url).hostname or "", 0))


def _has_secure(cluster: Cluster) -> bool:
    return any(url.lower().startswith("tls:") for url in cluster.servers)


def link_tables(settings: Settings) -> Iterator[tuple[str, ClientTLS]]:
    """Return the TLS table of the links between nodes, with its key."""
    if (tls := settings.cluster.tls) is not None:
        yield "cluster.tls", ClientTLS(ca=tls.ca, certificate=tls.certificate, key=tls.key)


def node_name(cluster: Cluster, host: str) -> str:
    """Return the name of this machine in the cluster, made from its host name `host` if none is configured."""
    return cluster.node or _NOT_IN_A_NODE.sub("-", host).strip("-")[:64] or "node"


def as_one_node(settings: Settings, host: str) -> Settings:
    """Return the configuration for a process without a supervisor, which is one node on the host `host`."""
    if not is_cluster(settings):
        return settings
    return msgspec.structs.replace(
        settings, cluster=msgspec.structs.replace(settings.cluster, node=node_name(settings.cluster, host))
    )


def worker_name(node: str, number: int) -> str:
    """Return the name of a worker, which is a node of the cluster, counted from 1."""
    return f"{node}-{number}"


def of_worker(
    settings: Settings, *, name: str, number: int, workers: int, servers: tuple[str, ...], token: str = ""
) -> Settings:
    """Return the configuration for one worker, which starts no further one.

    Args:
        settings: The configuration of the machine.
        name: The name of the worker.
        number: The number of the worker, counted from 1.
        workers: The number of workers.
        servers: The NATS servers.
        token: The token of the NATS server that was started for the workers, "" if none was.
    """
    cluster, listen = settings.cluster, settings.cluster.listen
    if listen is not None:
        listen = msgspec.structs.replace(listen, port=listen.port + number - 1)
    return msgspec.structs.replace(
        settings,
        gateway=msgspec.structs.replace(settings.gateway, workers=1),
        limits=_share(settings.limits, workers),
        store=msgspec.structs.replace(settings.store, url=url_of_worker(settings.store.url, number)),
        cluster=msgspec.structs.replace(
            cluster,
            node=name,
            listen=listen,
            servers=servers,
            server_binary="",
            password=Secret(token.encode(), None) if token else cluster.password,
        ),
    )


def _share(limits: Limits, workers: int) -> Limits:
    """Return the limits of one process: its part of the connections, rounded up."""
    return msgspec.structs.replace(
        limits,
        connections=-(-limits.connections // workers),
        connections_per_address=-(-limits.connections_per_address // workers),
    )


def url_of_worker(url: str, number: int) -> str:
    """Return the `store.url` whose further databases belong to one worker: X-2.db for the second one of X.db."""
    if url == "memory:":
        return url
    path = Path(url.removeprefix("sqlite:///"))
    return f"sqlite:///{path.with_name(f'{path.stem}-{number}{path.suffix}')}"
