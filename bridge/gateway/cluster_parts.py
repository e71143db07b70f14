"""The parts of a process of a cluster besides a Gateway: the shared stream, its records, and the links to others."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from bridge.cluster.cluster_map import Claim
from bridge.cluster.courier import Courier, NodePlace
from bridge.cluster.errors import NodeRefused
from bridge.cluster.hello import NodeName
from bridge.cluster.link_tls import LinkTLS
from bridge.cluster.links import LinkTerms
from bridge.cluster.map_stream import MapStream
from bridge.cluster.member import Member
from bridge.cluster.nats_connection import Login, PublishRefused
from bridge.cluster.node_numbers import number_of
from bridge.cluster.ownership import Ownership
from bridge.cluster.record_stream import RecordStream
from bridge.cluster.session_stream import SessionStream
from bridge.cluster.shared_store import SharedStore
from bridge.cluster.shared_stream import SharedStream
from bridge.cluster.stream_forms import STREAM
from bridge.config import Cluster, Secret, Settings
from bridge.errors import StartError, Unavailable
from bridge.gateway.node import Node
from bridge.net.tasks import Background, Tasks
from bridge.store import Record

# Seconds that the start waits for NATS servers that are not there yet.
_PATIENCE = 30.0
_PRIVATE = 0o700
_NEWS = "news"
_CLAIMS, _SLOTS = msgspec.msgpack.Decoder(dict[int, Claim]), msgspec.msgpack.Decoder(list[int])
# Seconds for what was put before the end of the process.
_LAST_WRITING = 5.0


class ClusterParts:
    """The parts of one process. `start` is called first, and `close` last.

    Args:
        settings: The configuration.
        news: Called with records that a process has written for all processes.
        background: Shares the event loop.

    Attributes:
        store: The records of the slots that this process holds.
        courier: The links to other processes.
        sessions: The sessions of operators, which all processes share.
        number: The number that no other process has.
    """

    number: int

    def __init__(self, settings: Settings, news: Callable[[Sequence[Record]], None], background: Background) -> None:
        cluster = settings.cluster
        self._settings = cluster
        self._incarnation = uuid4().hex
        self._stream = stream_of(cluster)
        request = cluster.lease / 4
        self._map = MapStream(self._stream, cluster.node, self._incarnation, timeout=request)
        self._member: Member | None = None
        self._tasks = Tasks()
        self.store = SharedStore(
            RecordStream(self._stream, cluster.node, self._incarnation),
            self._map,
            fenced=self._fenced,
            news=news,
            background=background,
        )
        self.sessions = SessionStream(self._stream, timeout=cluster.lease)
        self.courier = Courier(
            NodeName(cluster=STREAM, node=cluster.node, incarnation=self._incarnation),
            self._place_of,
            tls=_link_tls(cluster),
            terms=LinkTerms(ping_interval=cluster.lease / 4, lease=cluster.lease),
        )

    @property
    def process(self) -> str:
        """This process, by a name that no other process ever has."""
        return f"{self._settings.node}.{self._incarnation}"

    async def start(self) -> None:
        """Connect to the servers, and listen for other processes.

        Raises:
            StartError: The servers cannot be used, or none has answered.
            OSError: It is not possible to listen.
        """
        await self._stream.open(_PATIENCE)
        self.number = await number_of(self._stream, self._settings.node, _PATIENCE)
        await self.store.start()
        listen = self._settings.listen
        address = f"unix:{self._socket()}" if listen is None else f"tcp://{listen}"
        self._address = await self.courier.listen(address)

    async def join(self, node: Node) -> None:
        """Join the cluster, for `node`, which uses the slots. Returns when this process has a lease.

        Raises:
            StartError: This process cannot be in the cluster.
        """
        ownership = Ownership(self._settings.node, self._incarnation, self._settings.lease)
        self._member = Member(ownership, self._map, node, self._address, self._tell_others)
        self.courier.on(_NEWS, self._told)
        await node.join(self._member)

    async def close(self) -> None:
        """End the links, write what was put, and leave the stream."""
        await self._tasks.close()
        await self.courier.close()
        await self.store.flush(_LAST_WRITING)
        if self._member is not None and self._member.ownership.sequence:
            with suppress(StartError, Unavailable, PublishRefused):
                await self._map.depart(self._member.ownership.sequence)
        self.store.close()
        await self._stream.close()

    def neighbours(self) -> list[str]:
        """Return the names of the other living nodes on this machine."""
        assert self._member is not None
        machine, places = _machine(self._address), {node: self._place_of(node) for node in self._member.others()}
        return [node for node, place in places.items() if place is not None and _machine(place.address) == machine]

    def _fenced(self, slot: int, epoch: int) -> None:
        if self._member is not None:
            self._member.fenced(slot, epoch)

    def _tell_others(self, claims: Mapping[int, Claim]) -> None:
        """Let the other processes read the map, which this one has changed. Without this they read it later.

        Each process gets the claims that were written for it, and can use their slots at once.
        """
        assert self._member is not None
        for node in self._member.others():
            theirs = {slot: claim for slot, claim in claims.items() if claim.node == node}
            self._tasks.spawn(self._tell(node, theirs), name="telling another node")

    async def _tell(self, node: str, claims: Mapping[int, Claim]) -> None:
        """Send claims to the node for which they were written. It answers with the slots that it holds by then."""
        assert self._member is not None
        told = msgspec.msgpack.encode(claims) if claims else b""
        with suppress(Unavailable, NodeRefused, msgspec.MsgspecError):
            until = asyncio.get_running_loop().time() + self._settings.lease
            if answer := await self.courier.ask(node, _NEWS, told, until):
                self._member.taken({slot: claims[slot] for slot in _SLOTS.decode(answer) if slot in claims})

    def _told(self, node: str, told: bytes) -> bytes:
        if self._member is None:
            return b""
        claims = dict[int, Claim]()
        # A process of another version may send no claims, or send them in another form.
        with suppress(msgspec.MsgspecError):
            claims = _CLAIMS.decode(told) if told else claims
        slots = self._member.news(claims)
        return msgspec.msgpack.encode(slots) if slots else b""

    def _place_of(self, node: str) -> NodePlace | None:
        presence = None if self._member is None else self._member.ownership.map.presences.get(node)
        return None if presence is None else NodePlace(address=presence.address, incarnation=presence.incarnation)

    def _socket(self) -> Path:
        """Return the path of this process's socket for the others of this machine, in a folder of its user."""
        folder = Path(tempfile.gettempdir()) / f"ocpp-bridge-{os.getuid()}"
        folder.mkdir(mode=_PRIVATE, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
            raise StartError(f"{folder} belongs to somebody else, or others may use it")
        return folder / f"{self._incarnation}.sock"


def _machine(address: str) -> str:
    """Return what the addresses of all nodes on one machine have in common."""
    return "unix" if address.startswith("unix:") else address.rpartition(":")[0]


def stream_of(cluster: Cluster) -> SharedStream:
    """Return the shared stream, with the servers, the node and the credentials of the configuration."""
    tls = _link_tls(cluster)
    login = Login(
        username=cluster.username,
        password=_text(cluster.password),
        credentials=_text(cluster.credentials),
        tls=None if tls is None else tls.dialler,
    )
    return SharedStream(cluster.servers, cluster.node, login=login)


def _link_tls(cluster: Cluster) -> LinkTLS | None:
    return None if cluster.tls is None else LinkTLS(**msgspec.structs.asdict(cluster.tls))


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal().decode()
