"""Links over TCP: TLS, and what happens without it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from bridge.cluster.courier import NodePlace
from bridge.cluster.errors import NodeAway
from bridge.cluster.link_tls import LinkTLS
from bridge.cluster.links import LinkTerms
from bridge.config.records import ClientTLS
from bridge.errors import ConfigurationError
from tests.authority import Authority
from tests.cluster.nodes import later, name, nodes, until

ADDRESS = "tcp://127.0.0.1:0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> LinkTLS:
    return LinkTLS(**authority.issue("node", "127.0.0.1", "localhost"), ca=authority.file)


def echo(node: str, payload: bytes) -> bytes:
    return payload


async def test_two_nodes_ask_each_other(tls: LinkTLS, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a", address=ADDRESS, tls=tls)
        b = await all_nodes.node("b", address=ADDRESS, tls=tls)
        for courier in (a, b):
            courier.on("echo", echo)
        payloads = [os.urandom(size) for size in (0, 10, 500_000, 3_000_000)] * 5
        to_b = [a.ask("b", "echo", payload, later()) for payload in payloads]
        to_a = [b.ask("a", "echo", payload, later()) for payload in payloads]
        assert await asyncio.gather(*to_b, *to_a) == payloads * 2


async def refused(client: LinkTLS | None, server: LinkTLS | None, tmp_path: Path, host: str = "127.0.0.1") -> str:
    """Why a node cannot reach another."""
    texts: list[str] = []
    async with nodes(tmp_path) as all_nodes:
        # The one that is asked waits for a greeting that never comes, if it has no TLS.
        b = await all_nodes.node("b", address=ADDRESS, tls=server, terms=LinkTerms(hello_timeout=2.0))
        b.on("echo", echo)
        a = all_nodes.courier(name("a"), tls=client)
        address = all_nodes.places["b"].address.replace("127.0.0.1", host)
        all_nodes.places["b"] = NodePlace(address=address, incarnation="1")
        with pytest.raises(NodeAway) as caught:
            await a.ask("b", "echo", b"", later())
        assert not caught.value.written
        texts.append(str(caught.value))
        (listener,) = b._listeners
        await until(lambda: not listener._half_open)
    return texts[0]


async def test_a_node_with_a_certificate_of_another_authority_that_asks(
    authority: Authority, stranger: Authority, tls: LinkTLS, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = LinkTLS(**stranger.issue("strange", "127.0.0.1"), ca=authority.file)
    assert "before its greeting, its log says why" in await refused(client, tls, tmp_path)
    assert "was refused: its certificate: unable to get local issuer certificate" in caplog.text


async def test_a_node_with_a_certificate_of_another_authority_that_is_asked(
    authority: Authority, stranger: Authority, tls: LinkTLS, tmp_path: Path
) -> None:
    server = LinkTLS(**stranger.issue("strange", "127.0.0.1"), ca=authority.file)
    assert "its certificate: unable to get local issuer certificate" in await refused(tls, server, tmp_path)


async def test_a_node_without_a_certificate_that_asks(
    authority: Authority, tls: LinkTLS, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = LinkTLS(**authority.issue("client", "127.0.0.1"), ca=authority.file)
    client._table = ClientTLS(ca=authority.file)
    assert "before its greeting, its log says why" in await refused(client, tls, tmp_path)
    assert "peer did not return a certificate" in caplog.text


async def test_a_node_whose_certificate_has_another_name(authority: Authority, tls: LinkTLS, tmp_path: Path) -> None:
    server = LinkTLS(**authority.issue("elsewhere", "node-c.example"), ca=authority.file)
    text = await refused(tls, server, tmp_path)
    assert "its certificate: IP address mismatch, certificate is not valid for '127.0.0.1'" in text
    assert "Hostname mismatch" in await refused(tls, server, tmp_path, host="localhost")


async def test_a_node_without_tls_is_asked_with_tls(
    tls: LinkTLS, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "the node 'b' is away" in await refused(tls, None, tmp_path)
    assert "the first octets are not those of a node" in caplog.text


async def test_a_node_with_tls_is_asked_without(tls: LinkTLS, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "the node 'b' is away" in await refused(None, tls, tmp_path)
    assert "was refused: TLS: " in caplog.text


async def test_strangers_that_begin_no_tls_keep_no_node_out(tls: LinkTLS, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a", address=ADDRESS, tls=tls)
        b = await all_nodes.node("b", address=ADDRESS, tls=tls, terms=LinkTerms(max_half_open=8))
        b.on("echo", echo)
        port = int(all_nodes.places["b"].address.rpartition(":")[2])
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        assert await a.ask("b", "echo", b"", later()) == b""
        (listener,) = b._listeners
        assert len(listener._half_open) <= 8
        ended = [asyncio.ensure_future(reader.read()) for reader, _ in strangers]
        await until(lambda: sum(task.done() for task in ended) >= 52)
        for _, writer in strangers:
            writer.close()
        await asyncio.gather(*ended, return_exceptions=True)
        await until(lambda: not listener._half_open)
        assert await a.ask("b", "echo", b"still", later()) == b"still"


async def test_tcp_without_tls_is_for_one_machine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bridge.cluster"):
        async with nodes(tmp_path) as all_nodes:
            with pytest.raises(ConfigurationError, match=r"cluster\.listen: .* needs \[cluster\.tls\]"):
                await all_nodes.node("c", address="tcp://0.0.0.0:0")
            with pytest.raises(ConfigurationError, match=r"cluster\.listen: 'b:7000' is neither"):
                await all_nodes.node("c", address="b:7000")
            a, b = await all_nodes.node("a"), await all_nodes.node("b", address="tcp://localhost:0")
            b.on("echo", echo)
            assert await a.ask("b", "echo", b"", later()) == b""
            all_nodes.places["c"] = NodePlace(address="tcp://192.0.2.1:7000", incarnation="1")
            with pytest.raises(NodeAway, match=r"another machine is dialled with TLS only"):
                await a.ask("c", "echo", b"", later())
    assert "links to tcp://localhost:0 have no TLS" in caplog.text


async def test_certificates_are_renewed(authority: Authority, stranger: Authority, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        files = {**stranger.issue("renewed", "127.0.0.1"), "ca": authority.file}
        tls = LinkTLS(**files)
        a = await all_nodes.node("a", address=ADDRESS, tls=tls)
        b = await all_nodes.node("b", address=ADDRESS, tls=tls)
        b.on("echo", echo)
        with pytest.raises(NodeAway):
            await a.ask("b", "echo", b"", later())
        shown = authority.issue("new", "127.0.0.1")
        for key in ("certificate", "key"):
            Path(files[key]).write_bytes(Path(shown[key]).read_bytes())
        tls.renew()
        await asyncio.sleep(0.2)
        assert await a.ask("b", "echo", b"", later()) == b""
        Path(files["certificate"]).write_text("nothing")
        with pytest.raises(ConfigurationError, match=r"cluster\.tls: certificate and key"):
            tls.renew()
        assert await b.ask("b", "echo", b"", later()) == b""
