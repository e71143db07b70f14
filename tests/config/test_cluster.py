"""The settings of several processes: what is refused, what is warned of, and the part of each worker."""

from __future__ import annotations

import socket

import pytest

from bridge.config import Listen, Settings, cautions
from bridge.config.changes import needs_restart
from bridge.config.cluster import has_workers, is_cluster, link_tables, node_name, of_worker, url_of_worker
from tests.config import Files

TLS = "[cluster.tls]\ncertificate = 'a.pem'\nkey = 'a.pem'\nca = 'a.pem'\n"
OBSERVED = (
    "[central_systems.one]\nurl = 'ws://127.0.0.1:1/'\n[central_systems.two]\nurl = 'ws://127.0.0.1:2/'\n"
    "[[routes]]\ncharge_point = '*'\ncentral_system = 'one'\nalso = [{ central_system = 'two' }]"
)


@pytest.fixture
def pem(files: Files) -> None:
    files.write("", "a.pem")


def of(said: list[str], key: str) -> list[str]:
    """What of `said` is about the table or key."""
    return [each for each in said if each.startswith(key)]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("[gateway]\nworkers = 0", 'gateway.workers: expected "auto" or 1 or more and at most 256, got the integer 0'),
        ("[gateway]\nworkers = 'all'", 'gateway.workers: expected "auto" or an integer, got text "all"'),
        ("[gateway]\nworkers = true", 'gateway.workers: expected "auto" or an integer, got true'),
        ("[gateway]\nworkers = 1.5", 'gateway.workers: expected "auto" or an integer, got the number 1.5'),
        ("[cluster]\nlease = 0.5", "cluster.lease: expected 1 or more and at most 60, got the number 0.5"),
        ("[cluster]\nlease = 61", "cluster.lease: expected 1 or more and at most 60, got the integer 61"),
        (
            "[cluster]\nservers = ['http://a:4222']",
            "cluster.servers[0]: expected an address that begins with nats:// or tls://",
        ),
        (
            "[cluster]\nservers = ['nats://a', 'nats://me:secret@b']",
            "cluster.servers[1]: an address holds no credentials: cluster.username, password_file and credentials_file "
            "hold them",
        ),
        ("[cluster]\nservers = ['nats://a/b']", "cluster.servers[0]: the address has a path"),
        ("[cluster]\nservers = 'nats://a'", "cluster.servers: expected a list, got text"),
        (
            "[cluster]\nnode = 'a.b'",
            'cluster.node: expected at most 64 ASCII letters, digits, "-" and "_", got "a.b"',
        ),
        ("[cluster]\nserver_binary = 'nowhere'", "cluster.server_binary: there is no such file"),
        ("[cluster]\nusername = 'me'", "cluster.password_file: missing: a username alone proves nothing"),
        (
            "[cluster]\ncredentials = 'x'\npassword = 'y'",
            "cluster.credentials: is given beside a username or a password, one of the two is enough",
        ),
        ("[cluster]\ncredentials_file = 'nowhere'", "cluster.credentials_file: the file cannot be read: No such file"),
        ("[cluster]\nlisten = '7000'", 'cluster.listen: expected HOST:PORT or [IPV6]:PORT, got text "7000"'),
        (
            "[cluster]\nlisten = '0.0.0.0:7000'",
            "cluster.listen: expected the address by which nodes on other machines reach this one, got 0.0.0.0:7000",
        ),
        (
            "[cluster]\nlisten = '127.0.0.1:0'",
            "cluster.listen: expected a port: nodes on other machines connect to it",
        ),
        (
            "[cluster]\nlisten = '10.0.0.2:7000'",
            "cluster.listen: needs [cluster.tls]: whoever reaches the address could take the place of a node",
        ),
        (
            "[gateway]\nworkers = 4\n[cluster]\nlisten = '127.0.0.1:65533'",
            "cluster.listen: the last worker would have port 65536: each worker has the next one",
        ),
        (
            "[gateway]\nworkers = 4\n[cluster]\nlisten = '127.0.0.1:8078'",
            "cluster.listen: port 8080 is taken by soap.listen",
        ),
        ("[cluster.tls]\ncertificate = 'nowhere'", "cluster.tls.certificate: there is no such file"),
        ("[cluster.tls]\nkey = 'a'", "cluster.tls.certificate: missing"),
        (
            "[gateway]\nworkers = 2\n[store]\nurl = 'memory:'",
            'store.url: "memory:" names no folder for the NATS server of the workers: name a file, or cluster.servers',
        ),
        (
            "[gateway]\nworkers = 2\n[store]\nurl = 'memory:'\n[cluster]\nservers = ['nats://a']",
            'admin.token_file: missing: with store.url = "memory:", each worker would make a token of its own',
        ),
    ],
)
def test_what_cannot_work(files: Files, written: str, complaint: str) -> None:
    assert any(complaint in each for each in files.complaints(written)), files.complaints(written)


@pytest.mark.parametrize(
    ("environ", "workers"), [({}, 1), ({"GATEWAY__WORKERS": "auto"}, "auto"), ({"GATEWAY__WORKERS": "4"}, 4)]
)
def test_the_environment_has_numbers_and_the_word(files: Files, environ: dict[str, str], workers: object) -> None:
    settings = files.load("", {f"OCPP_BRIDGE__{name}": value for name, value in environ.items()})
    assert settings.gateway.workers == workers


def test_what_is_a_cluster(files: Files) -> None:
    """ "auto" is one on a machine with one CPU, too: where the records are does not depend on the machine."""
    assert not is_cluster(Settings())
    assert is_cluster(files.load("[gateway]\nworkers = 'auto'"))
    assert is_cluster(files.load("[gateway]\nworkers = 2"))
    alone = files.load("[cluster]\nservers = ['nats://a:4222']")
    assert is_cluster(alone) and not has_workers(alone)


@pytest.mark.parametrize("several", ["[gateway]\nworkers = 2\n", "[cluster]\nservers = ['nats://127.0.0.1:4222']\n"])
def test_further_central_systems_are_told_by_several_processes_as_well(files: Files, several: str) -> None:
    settings = files.load(several + OBSERVED)
    assert is_cluster(settings) and settings.routes[0].also[0].central_system == "two"


def test_one_table_with_everything(files: Files, pem: None) -> None:
    files.write("creds\n", "cluster.creds")
    settings = files.load(
        "[gateway]\nworkers = 2\n[cluster]\nservers = ['nats://a:4222', 'tls://b']\nnode = 'a'\nlease = 5\n"
        f"listen = '10.0.0.2:7000'\ncredentials_file = '{files.folder}/cluster.creds'\n"
        + TLS.replace("a.pem", f"{files.folder}/a.pem")
    )
    assert settings.cluster.credentials is not None
    assert settings.cluster.credentials.reveal() == b"creds"
    assert settings.cluster.listen == Listen("10.0.0.2", 7000)
    assert [key for key, _ in link_tables(settings)] == ["cluster.tls"]
    assert of([*cautions(settings)], "cluster") == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", []),
        (
            "[cluster]\nnode = 'a'",
            ["cluster: is of no use: gateway.workers is 1 and cluster.servers is empty"],
        ),
        ("[gateway]\nworkers = 2", []),
        (
            "[gateway]\nworkers = 2\n[cluster]\nlisten = '127.0.0.1:7000'\npassword = 'x'",
            [
                "cluster.listen: is of no use without cluster.servers: other machines do not share the server of this "
                "one",
                "cluster.password: is of no use without cluster.servers: other machines do not share the server of "
                "this one",
            ],
        ),
        (
            "[cluster]\nservers = ['nats://a']",
            ["cluster.listen: missing: nodes on other machines cannot reach this one"],
        ),
        (
            "[cluster]\nservers = ['nats://127.0.0.1:4222', 'nats://localhost']\nserver_binary = 'a.pem'",
            ["cluster.server_binary: is of no use: cluster.servers names servers that are running"],
        ),
    ],
)
def test_what_is_warned_of(
    files: Files, pem: None, monkeypatch: pytest.MonkeyPatch, written: str, said: list[str]
) -> None:
    monkeypatch.chdir(files.folder)
    assert of([*cautions(files.load(written))], "cluster") == said


def test_tls_that_nobody_speaks(files: Files, pem: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.folder)
    settings = files.load("[cluster]\nservers = ['nats://a']\n" + TLS)
    assert any(each.startswith("cluster.tls: is of no use") for each in cautions(settings))
    settings = files.load("[cluster]\nservers = ['tls://a']\n" + TLS)
    assert not any(each.startswith("cluster.tls") for each in cautions(settings))


def test_what_a_machine_is_called() -> None:
    assert node_name(Settings().cluster, "a.example.com") == "a-example-com"
    assert node_name(Settings().cluster, "...") == "node"
    assert node_name(Settings().cluster, socket.gethostname())


def test_the_part_of_a_worker(files: Files) -> None:
    """It starts no further worker, and has files, a name, a port and a part of the connections of its own."""
    whole = files.load(
        "[gateway]\nworkers = 3\n[cluster]\nlisten = '127.0.0.1:7000'\n[limits]\nconnections = 100\n"
        "[store]\nurl = 'sqlite:////var/lib/bridge.db'"
    )
    part = of_worker(whole, name="a-2", number=2, workers=3, servers=("nats://127.0.0.1:4222",), token="x")
    assert not has_workers(part) and is_cluster(part)
    assert part.cluster.node == "a-2" and part.cluster.servers == ("nats://127.0.0.1:4222",)
    assert part.cluster.listen == Listen("127.0.0.1", 7001)
    assert part.cluster.password is not None and part.cluster.password.reveal() == b"x"
    assert part.store.url == "sqlite:////var/lib/bridge-2.db"
    assert (part.limits.connections, part.limits.connections_per_address) == (34, 334)
    assert part.limits.max_frame == whole.limits.max_frame
    assert url_of_worker("memory:", 2) == "memory:"
    assert url_of_worker("sqlite:///var/ocpp-bridge.db", 1) == "sqlite:///var/ocpp-bridge-1.db"


def test_a_worker_of_this_machine_alone_is_warned_of_nothing(
    files: Files, pem: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    whole = files.load("[gateway]\nworkers = 2\n[cluster]\nserver_binary = 'a.pem'")
    part = of_worker(whole, name="a-1", number=1, workers=2, servers=("nats://127.0.0.1:4222",))
    assert of([*cautions(part)], "cluster") == []
    assert part.cluster.password is None


def test_a_change_needs_a_restart(files: Files, pem: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.folder)
    new = files.load("[gateway]\nworkers = 2\n[cluster]\nservers = ['nats://a']\nlease = 5\n" + TLS)
    keys = ["gateway.workers", "cluster.servers", "cluster.lease", "cluster.tls"]
    assert needs_restart(Settings(), new) == keys
