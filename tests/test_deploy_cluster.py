"""`deploy/haproxy/cluster.cfg`, with the real HAProxy before three nodes of a cluster, of which one is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from tests.authority import Authority
from tests.cluster.servers import nats_at
from tests.e2e.processes import CentralSystem
from tests.e2e.stage import AT_MOST
from tests.e2e.test_nodes import Node
from tests.e2e.test_proxies import Spoken, let_in, request
from tests.reverse_proxies import HOST, PROGRAMS, Program, Site
from tests.test_deploy_proxies import DOORS, combine

HAPROXY = PROGRAMS["haproxy/headers.cfg"]


def recipe(nodes: list[Node]) -> Program:
    """The recipe, with the addresses of the test."""

    def replaced(site: Site, ports: Mapping[str, int]) -> dict[str, str]:
        found = {"bind :443": f"bind {HOST}:{ports['soap']}", "/etc/haproxy/tls/gateway.pem": f"{site.tls}/both.pem"}
        for number, node in enumerate(nodes, start=1):
            for port, address in ((8080, node.soap_address), (9000, node.websocket_address)):
                before = f"10.0.0.{number}:{port} port 8081"
                found[before] = f"{address[0]}:{address[1]} port {node.admin_address[1]}"
        return found

    return Program(
        name="haproxy",
        file="haproxy/cluster.cfg",
        replaced=replaced,
        command=HAPROXY.command,
        found=HAPROXY.found,
    )


async def test_a_node_behind_it_is_killed(tmp_path: Path) -> None:
    HAPROXY.check()
    authority = Authority(tmp_path, "fleet-ca")
    combine(tmp_path, authority.issue("gateway", "localhost"))
    with nats_at(tmp_path) as nats:
        async with CentralSystem() as central, AsyncExitStack() as held:
            nodes = [Node(tmp_path, name, nats, central.url) for name in "abc"]
            for node in nodes:
                text = node.file.read_text()
                for table in ("[soap]\n", "[websocket]\n"):
                    text = text.replace(table, f'{table}proxies = ["127.0.0.1/32"]\nproxy = "forwarded"\n')
                node.file.write_text(text)
                await held.enter_async_context(node)
            site = Site(soap=0, websocket=0, tls=tmp_path)
            at = held.enter_context(recipe(nodes).serving(site, tmp_path))

            async def asked(door: str, identity: str) -> int | None:
                async with Spoken(at["soap"], HOST, authority.client(None)) as connection:
                    return await connection.ask(request(door, identity=identity))

            async def let_in_at_last(door: str, identity: str) -> None:
                while await asked(door, identity) != let_in(door):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)

            async def all_are_let_in() -> None:
                async with asyncio.timeout(AT_MOST), asyncio.TaskGroup() as group:
                    for number in range(12):
                        for door in DOORS:
                            group.create_task(let_in_at_last(door, f"{door}-{number}"))

            await all_are_let_in()
            await nodes[1].kill()
            await all_are_let_in()
