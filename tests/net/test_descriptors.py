"""Who gets a file descriptor when they run out, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from bridge.net.connection_table import ConnectionTable
from bridge.net.descriptors import AcceptingSocket, Descriptors, Inherited, Purpose, listen_at
from tests.names import stand_for


@contextlib.contextmanager
def listening_at(host: str, port: int) -> Iterator[list[AcceptingSocket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(listening) for listening in listen_at(host, port)]


def test_what_the_bridge_opens_leaves_some_for_accepting_and_both_some_for_the_admin_listener() -> None:
    descriptors = Descriptors(lambda: 1024)
    opened = descriptors.room(Purpose.OPENED)
    assert opened < descriptors.room(Purpose.ACCEPTED) < descriptors.room(Purpose.ADMIN) < 1024
    leases = [descriptors.lease(Purpose.OPENED) for _ in range(opened)]
    assert all(leases)
    assert descriptors.lease(Purpose.OPENED) is None
    accepted = descriptors.lease(Purpose.ACCEPTED)
    assert accepted is not None
    for lease in leases[:2]:
        assert lease is not None
        lease.end()
        lease.end()
    assert descriptors.in_use == opened - 1
    assert descriptors.lease(Purpose.OPENED) is not None


async def test_accepting_pauses_while_there_are_none_and_resumes() -> None:
    """Room for two: the third is connected by the system, and is not served before one of them is gone."""
    descriptors = Descriptors(lambda: 100)
    room = descriptors.room(Purpose.ACCEPTED)
    told: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.put_nowait(context["message"]))
    served: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(
        lambda reader, writer: served.put_nowait(writer), sock=listen_at("127.0.0.1", 0, descriptors=descriptors)[0]
    )
    address = server.sockets[0].getsockname()
    with contextlib.ExitStack() as stack:
        for _ in range(room + 1):
            stack.enter_context(socket.create_connection(address))
        writers = [await served.get() for _ in range(room)]
        assert await told.get() == "socket.accept() out of system resource"
        assert served.empty()
        assert descriptors.in_use == room
        writers[0].close()
        await writers[0].wait_closed()
        writers.append(await asyncio.wait_for(served.get(), 5))
        for writer in writers[1:]:
            writer.close()
            await writer.wait_closed()
    assert descriptors.in_use == 0
    server.close()


def test_a_socket_that_another_process_bound_accepts_as_one_of_our_own() -> None:
    """It counts descriptors, and connections in the table that the processes share."""
    descriptors, table = Descriptors(lambda: 1000), ConnectionTable.create(["soap"], 2)
    connections = table.counts("soap", 0)
    with listen_at("127.0.0.1", 0)[0] as bound:
        (listening,) = Inherited([os.dup(bound.fileno())], connections).sockets(descriptors=descriptors)
        with listening:
            assert not listening.get_inheritable()
            listening.setblocking(True)
            other = table.counts("soap", 1)
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    stack.enter_context(socket.create_connection(bound.getsockname()))
                accepted, _ = listening.accept()
                assert descriptors.in_use == 1
                assert not connections.is_ahead
                accepted.close()
                accepted.close()
                assert descriptors.in_use == 0
                listening.setblocking(False)
                for _ in range(19):
                    stack.enter_context(listening.accept()[0])
                with pytest.raises(BlockingIOError):
                    listening.accept()
                assert descriptors.in_use == 19
                assert connections.is_ahead and not other.is_ahead
                table.has_ended(1)
                assert not connections.is_ahead
        assert descriptors.in_use == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_where_to_listen(host: str) -> None:
    with listening_at(host, 0) as sockets:
        for listening in sockets:
            socket.create_connection(listening.getsockname()[:2]).close()


def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_for(monkeypatch, "here.example", "::1", "127.0.0.2", "127.0.0.3")
    with listening_at("here.example", 0) as sockets:
        assert [listening.getsockname()[0] for listening in sockets] == ["127.0.0.2", "127.0.0.3", "::1"]
        for listening in sockets:
            socket.create_connection(listening.getsockname()[:2]).close()


def test_an_address_that_this_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_for(monkeypatch, "here.example", "2001:db8::1", "127.0.0.2")
    with listening_at("here.example", 0) as sockets:
        assert [listening.getsockname()[0] for listening in sockets] == ["127.0.0.2"]
    stand_for(monkeypatch, "here.example", "2001:db8::1")
    with pytest.raises(OSError, match="the address 2001:db8::1, port 0: ") as refused:
        listen_at("here.example", 0)
    assert refused.value.errno == errno.EADDRNOTAVAIL


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one of the addresses is enough: the others are let go."""
    stand_for(monkeypatch, "here.example", "127.0.0.2", "127.0.0.3")
    with listening_at("127.0.0.3", 0) as (first,):
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"the address 127.0.0.3, port {port}: .* in use"):
            listen_at("here.example", port)
        with listening_at("127.0.0.2", port):
            pass
