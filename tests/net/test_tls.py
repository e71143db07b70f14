"""Contexts of listeners and clients, over real sockets, with certificates made for the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bridge.config import TLS, ClientTLS
from bridge.errors import ConfigurationError
from bridge.net.certificates import names_of
from bridge.net.tls import ClientContexts, Renewable, server_context, speaks_old
from tests.authority import Authority, only
from tests.lacking import lacking


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def shown(authority: Authority) -> dict[str, Any]:
    """The listener's."""
    return authority.issue("listener", "localhost", "127.0.0.1")


def write(path: str | Path, content: bytes) -> None:
    Path(path).write_bytes(content)


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a listener that answers a line with the names in the certificate that it was shown."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(f"{names_of(writer.get_extra_info('peercert'))}\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class Visit:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self) -> str:
        """Who the listener takes us for. Raises OSError where it takes us for nobody."""
        self.writer.write(b"?\n")
        line = await self._reader.readline()
        if not line:
            raise ConnectionError("hung up")
        return line.decode().strip()

    @property
    def serial(self) -> str:
        """Of the certificate that the listener showed."""
        return str(self.writer.get_extra_info("peercert")["serialNumber"])

    @property
    def version(self) -> str:
        return str(self.writer.get_extra_info("ssl_object").version())


@asynccontextmanager
async def visiting(port: int, context: ssl.SSLContext, host: str = "localhost") -> AsyncIterator[Visit]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    try:
        yield Visit(reader, writer)
    finally:
        writer.transport.abort()


async def asked(port: int, context: ssl.SSLContext, host: str = "localhost") -> str:
    async with visiting(port, context, host) as visit:
        return await visit.ask()


class TestListeners:
    async def test_a_certificate_is_not_asked_for(self, authority: Authority, shown: dict[str, Any]) -> None:
        async with listening(server_context(TLS(**shown), "soap.tls")) as port:
            assert await asked(port, authority.client(authority.issue("cp", "CP1"))) == "None"

    @pytest.mark.parametrize("how", [None, "required"])
    async def test_a_certificate_is_required(
        self, authority: Authority, stranger: Authority, shown: dict[str, Any], how: Any
    ) -> None:
        tls = TLS(**shown, client_ca=authority.file, client_certificate=how)
        async with listening(server_context(tls, "soap.tls")) as port:
            known = authority.issue("cp", "cp1.example", common_name="CP 1")
            assert await asked(port, authority.client(known)) == "('CP 1', 'cp1.example')"
            with pytest.raises(OSError, match=r"certificate|hung up|reset"):
                await asked(port, authority.client())
            with pytest.raises(OSError, match=r"unknown ca|hung up|reset"):
                await asked(port, authority.client(stranger.issue("cp", "CP1")))

    async def test_a_certificate_is_asked_for(
        self, authority: Authority, stranger: Authority, shown: dict[str, Any]
    ) -> None:
        tls = TLS(**shown, client_ca=authority.file, client_certificate="asked")
        async with listening(server_context(tls, "soap.tls")) as port:
            assert await asked(port, authority.client()) == "None"
            assert await asked(port, authority.client(authority.issue("cp", "cp1.example"))) == "('cp1.example',)"
            with pytest.raises(OSError, match=r"unknown ca|hung up|reset"):
                await asked(port, authority.client(stranger.issue("cp", "CP1")))

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    async def test_old_versions_are_not_spoken(
        self, authority: Authority, shown: dict[str, Any], version: ssl.TLSVersion
    ) -> None:
        async with listening(server_context(TLS(**shown), "soap.tls")) as port:
            with pytest.raises(OSError):  # in words that differ
                await asked(port, authority.client(version=version))

    @pytest.mark.parametrize("least", ["1.0", "1.1"])
    async def test_but_where_they_must_be(self, authority: Authority, shown: dict[str, Any], least: Any) -> None:
        version = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}[least]
        needs_old_versions()
        async with listening(server_context(TLS(**shown, minimum_version=least), "soap.tls")) as port:
            async with visiting(port, authority.client(version=version)) as visit:
                assert (await visit.ask(), visit.version) == ("None", f"TLSv{least}".removesuffix(".0"))
            async with visiting(port, authority.client()) as visit:
                assert (await visit.ask(), visit.version) == ("None", "TLSv1.3")

    async def test_the_newest_alone(self, authority: Authority, shown: dict[str, Any]) -> None:
        async with listening(server_context(TLS(**shown, minimum_version="1.3"), "soap.tls")) as port:
            with pytest.raises(OSError):
                await asked(port, authority.client(version=ssl.TLSVersion.TLSv1_2))

    async def test_ciphers(self, authority: Authority, shown: dict[str, Any]) -> None:
        tls = TLS(**shown, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
        client = authority.client(version=ssl.TLSVersion.TLSv1_2)
        async with listening(server_context(tls, "soap.tls")) as port, visiting(port, client) as visit:
            assert visit.writer.get_extra_info("cipher")[0] == "ECDHE-RSA-AES128-GCM-SHA256"

    def test_which_versions_are_old(self, shown: dict[str, Any]) -> None:
        assert [speaks_old(ClientTLS(minimum_version=version)) for version in ("1.0", "1.1", "1.2", "1.3")] == [
            *(True, True, False, False)
        ]


def needs_old_versions() -> None:
    if ssl.HAS_TLSv1 and ssl.HAS_TLSv1_1:
        return
    lacking(f"{ssl.OPENSSL_VERSION} does not speak TLS 1.0 and 1.1")


def told(tls: TLS) -> str:
    with pytest.raises(ConfigurationError) as caught:
        server_context(tls, "soap.tls")
    return str(caught.value)


class TestWhatCannotBeUsed:
    """Each is told with the table and the part of it."""

    def test_files(self, authority: Authority, stranger: Authority, shown: dict[str, Any], tmp_path: Path) -> None:
        empty = tmp_path / "empty.pem"
        empty.write_bytes(b"")
        other = stranger.issue("other", "localhost")
        start = "configuration: soap.tls: "
        assert told(TLS(certificate=str(empty), key=shown["key"])).startswith(f"{start}certificate and key: ")
        assert told(TLS(certificate="gone", key="gone")) == f"{start}certificate and key: No such file or directory"
        assert "mismatch" in told(TLS(certificate=shown["certificate"], key=other["key"]))
        assert told(TLS(**shown, client_ca=str(empty))).startswith(f"{start}client_ca: ")
        assert told(TLS(**shown, ciphers="none such")).startswith(f"{start}ciphers: ")

    def test_a_key_with_a_passphrase(self, shown: dict[str, Any], tmp_path: Path) -> None:
        """OpenSSL would ask the terminal, and wait."""
        key = load_pem_private_key(Path(shown["key"]).read_bytes(), None)
        locked = tmp_path / "locked.key"
        form = PrivateFormat.PKCS8
        locked.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")))
        assert "has a passphrase" in told(TLS(certificate=shown["certificate"], key=str(locked)))

    def test_versions_that_this_openssl_lacks(self, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.net.tls._OLD", {"1.0": False, "1.1": True})
        assert "minimum_version: this machine's OpenSSL" in told(TLS(**shown, minimum_version="1.0"))


class TestRenewing:
    async def test_new_handshakes_get_the_new_certificate(self, authority: Authority, shown: dict[str, Any]) -> None:
        tls = TLS(**authority.issue("renewed", "localhost"))
        context = Renewable(lambda: server_context(tls, "soap.tls"))
        async with listening(context) as port, visiting(port, authority.client()) as old:
            first = old.serial
            assert await old.ask() == "None"
            authority.issue("renewed", "localhost")
            context.renew()
            assert await old.ask() == "None"
            async with visiting(port, authority.client()) as new:
                assert (await new.ask(), new.serial != first) == ("None", True)

    async def test_what_is_bad_changes_nothing(self, authority: Authority) -> None:
        paths = authority.issue("spoilt", "localhost")
        context = Renewable(lambda: server_context(TLS(**paths), "soap.tls"))
        async with listening(context) as port:
            async with visiting(port, authority.client()) as visit:
                first = visit.serial
            write(paths["certificate"], b"not a certificate")
            with pytest.raises(ConfigurationError):
                context.renew()
            async with visiting(port, authority.client()) as visit:
                assert (await visit.ask(), visit.serial) == ("None", first)

    async def test_all_of_it_is_renewed(self, authority: Authority, stranger: Authority, shown: dict[str, Any]) -> None:
        """An authority that is no longer trusted, too."""
        context = Renewable(lambda: server_context(TLS(**shown, client_ca=authority.file), "soap.tls"))
        known, new = authority.issue("cp", "old.example"), stranger.issue("cp", "new.example")
        async with listening(context) as port:
            assert await asked(port, authority.client(known)) == "('old.example',)"
            context.renew(lambda: server_context(TLS(**shown, client_ca=stranger.file), "soap.tls"))
            assert await asked(port, authority.client(new)) == "('new.example',)"
            with pytest.raises(OSError, match=r"unknown ca|hung up|reset"):
                await asked(port, authority.client(known))


class TestClients:
    async def test_an_authority_of_their_own(self, authority: Authority, shown: dict[str, Any]) -> None:
        contexts = ClientContexts()
        async with listening(server_context(TLS(**shown), "soap.tls")) as port:
            assert await asked(port, contexts.of(ClientTLS(ca=authority.file))) == "None"
            assert await asked(port, contexts.of(ClientTLS(ca=authority.file)), "127.0.0.1") == "None"
            with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
                await asked(port, contexts.of(None))

    @pytest.mark.parametrize("host", ["other.example", "127.0.0.2"])
    async def test_the_host_is_verified(self, authority: Authority, shown: dict[str, Any], host: str) -> None:
        context = ClientContexts().of(ClientTLS(ca=authority.file))
        async with listening(server_context(TLS(**shown), "soap.tls")) as port:
            with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch, certificate is not valid for"):
                await asked(port, context, host)

    async def test_a_certificate_of_their_own(self, authority: Authority, shown: dict[str, Any]) -> None:
        own = authority.issue("bridge", "bridge.example")
        async with listening(server_context(TLS(**shown, client_ca=authority.file), "soap.tls")) as port:
            context = ClientContexts().of(ClientTLS(ca=authority.file, **own))
            assert await asked(port, context) == "('bridge.example',)"

    async def test_old_versions_where_they_must_be(self, authority: Authority, shown: dict[str, Any]) -> None:
        needs_old_versions()
        listener = server_context(TLS(**shown, minimum_version="1.0"), "soap.tls")
        only(listener, ssl.TLSVersion.TLSv1)
        async with listening(listener) as port:
            context = ClientContexts().of(ClientTLS(ca=authority.file, minimum_version="1.0"))
            async with visiting(port, context) as visit:
                assert visit.version == "TLSv1"

    def test_one_context_a_table(self, authority: Authority) -> None:
        contexts = ClientContexts()
        assert contexts.of(ClientTLS(ca=authority.file)) is contexts.of(ClientTLS(ca=authority.file))
        assert contexts.of(None) is contexts.of(ClientTLS())

    def test_what_cannot_be_read_at_first_is_refused(self, authority: Authority) -> None:
        contexts = ClientContexts()
        with pytest.raises(ConfigurationError, match=r"central_systems\.a\.tls: ca: No such file"):
            contexts.load([("central_systems.a.tls", ClientTLS(ca="gone"))])

    async def test_what_cannot_be_read_again_stays_in_use(
        self, authority: Authority, stranger: Authority, shown: dict[str, Any], tmp_path: Path
    ) -> None:
        bundle, other = tmp_path / "ca.pem", Path(stranger.file).read_bytes()
        write(bundle, Path(authority.file).read_bytes())
        contexts, tls = ClientContexts(), ClientTLS(ca=str(bundle))
        assert contexts.load([("a.tls", tls)]) == []
        context = contexts.of(tls)
        async with listening(server_context(TLS(**shown), "soap.tls")) as port:
            assert await asked(port, context) == "None"
            write(bundle, b"spoilt")
            (complaint,) = contexts.load([("a.tls", tls)])
            assert str(complaint).startswith("configuration: a.tls: ca: ")
            assert await asked(port, context) == "None"
            write(bundle, other)
            assert contexts.load([("a.tls", tls)]) == []
            with pytest.raises(ssl.SSLCertVerificationError):
                await asked(port, context)

    def test_if_one_is_refused_none_is_renewed(self, authority: Authority, tmp_path: Path) -> None:
        contexts, tls = ClientContexts(), ClientTLS(ca=authority.file)
        contexts.load([("a.tls", tls)])
        before = contexts.of(tls)._current
        with pytest.raises(ConfigurationError, match=r"b\.tls"):
            contexts.load([("a.tls", tls), ("b.tls", ClientTLS(ca="gone"))])
        assert contexts.of(tls)._current is before

    def test_the_systems_authorities_are_read_again(self) -> None:
        contexts = ClientContexts()
        context = contexts.of(None)
        context.renew()
        before = context._current
        assert contexts.load([]) == []
        assert context._current is not before
