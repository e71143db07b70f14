"""The admin listener of several processes: each answers for all. Real processes, sockets and NATS servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.cluster import ClusterNode, cluster_of, present, until
from tests.e2e.processes import CentralSystem
from tests.e2e.stage import AT, AT_MOST, CS, envelope, post, run
from tests.process_states import frozen

# Enough that each of two processes has some.
IDENTITIES = [f"{letter} CP" for letter in "ABCDEFGHIJKL"]


async def asked(nodes: Sequence[ClusterNode], method: str, path: str, body: object = None) -> list[Any]:
    """What each node answers, with the status."""
    answers = [await node.api(method, path, body) for node in nodes]
    return [(answer.status, answer.data) for answer in answers]


def test_each_process_answers_for_a_charge_point_of_the_other(tmp_path: Path) -> None:
    async def walk() -> None:
        async with (
            CentralSystem() as central,
            cluster_of(tmp_path, {"main": {"url": central.url}, "b": {"url": central.url}}) as nodes,
        ):
            await present(nodes[0], *IDENTITIES)
            for identity in IDENTITIES[:6]:
                (status, told), other = await asked(nodes, "GET", f"/charge-points/{identity}")
                assert status == 200 and other == (200, told)
                assert told["identity"] == identity and told["state"] == "up"
                refused = await asked(
                    nodes, "POST", f"/charge-points/{identity}/calls", {"action": "No", "payload": {}}
                )
                assert refused[0][0] == 400 and refused[1] == refused[0]
                for number, node in enumerate(nodes):
                    to = ["b", "main"][number]
                    moved = await node.api(
                        "PUT", f"/charge-points/{identity}/route", {"central_system": to, "when": "now"}
                    )
                    assert (moved.status, moved.data["to"], moved.data["kept"]) == (200, to, True), moved
            assert (await asked(nodes, "GET", "/charge-points/nobody"))[0][0] == 404
            assert [status for status, _ in await asked(nodes, "GET", "/charge-points/nobody")] == [404, 404]
            (status, told), other = await asked(nodes, "PUT", f"/charge-points/{IDENTITIES[7]}", {"password": "x" * 20})
            assert status == 200 and other[0] == 200
            assert told["outcome"] == "created" and other[1]["outcome"] in ("unchanged", "changed")

    run(walk(), 6 * AT_MOST)


def test_metrics_are_those_of_all_processes_of_the_machine(tmp_path: Path) -> None:
    async def walk() -> None:
        async with CentralSystem() as central, cluster_of(tmp_path, {"main": {"url": central.url}}) as nodes:
            await present(nodes[0], *IDENTITIES)
            for node in nodes:
                text = (await node.api("GET", "//metrics")).data.decode()
                families = {family.name: family for family in text_string_to_metric_families(text)}
                assert all(sample.labels["node"] in ("a", "b") for each in families.values() for sample in each.samples)
                calls = families["ocpp_bridge_calls"].samples
                ended = {s.labels["node"]: s.value for s in calls if s.name.endswith("_total")}
                assert sum(ended.values()) == len(IDENTITIES) and set(ended) == {"a", "b"}

    run(walk(), 6 * AT_MOST)


def test_processes_whose_lease_is_over_are_not_ready(tmp_path: Path) -> None:
    async def walk() -> None:
        async with CentralSystem() as central, cluster_of(tmp_path, {"main": {"url": central.url}}, lease=4) as nodes:
            one, other = nodes
            assert (await one.ready())[1]["cluster"]["nodes"] == ["a", "b"]
            assert one.nats.process is not None

            async def suspended() -> bool:
                ready = [await node.ready() for node in nodes]
                assert all((status == 503) is told["cluster"]["suspended"] for status, told in ready)
                return all(status == 503 for status, _ in ready)

            with frozen(one.nats.process.pid):
                await until(suspended)
                assert [(await node.api("GET", "//healthz")).status for node in nodes] == [200, 200]

            async def ready() -> bool:
                return [(await node.ready())[0] for node in nodes] == [200, 200]

            await until(ready)
            os.kill(other.pid, signal.SIGKILL)

            async def alone() -> bool:
                told = (await one.ready())[1]["cluster"]
                return bool(told["nodes"] == ["a"] and told["slots"] == 1024)

            await until(alone)

    run(walk(), 6 * AT_MOST)


def test_lists_and_counts_are_those_of_all_processes(tmp_path: Path) -> None:
    async def walk() -> None:
        central = CentralSystem()
        listed = '[charge_points."Z 1"]\npassword = "p"\n[charge_points."Y 2"]\npassword = "p"\n'
        async with central, cluster_of(tmp_path, {"main": {"url": central.url}}, more=listed) as nodes:
            for number, identity in enumerate(IDENTITIES):
                for body in (boot(f"vendor {number % 3}"), started(), ""):
                    answer = await post(nodes[number % 2], envelope(*([body] if body else []), identity=identity))
                    assert answer.status == 200, answer
            for node in nodes:
                complete = await node.api("GET", "/charge-points")
                assert not [name for name in complete.headers if name.startswith("OCPP-Bridge-Missing")]
                page, found = complete.data, []
                assert page["total"] == 14 and page["states"]["never_seen"] == 2
                assert [each["identity"] for each in page["items"]] == sorted([*IDENTITIES, "Y 2", "Z 1"])
                cursor = ""
                while True:
                    page = await node.api.get(f"/charge-points?sort=model&order=desc&limit=3{cursor}")
                    found += [(each["vendor"] or "", each["identity"]) for each in page["items"]]
                    if page["next"] is None:
                        break
                    cursor = f"&cursor={page['next']}"
                assert len(found) == 14 and found == sorted(found, reverse=True)
                values = await node.api.get("/charge-points:values")
                assert values["vendors"] == [{"value": f"vendor {number}", "count": 4} for number in range(3)]
                table = await node.api("GET", "/charge-points:table")
                assert len(table.data.splitlines()) == 15
                overview = await node.api.get("/overview")
                assert overview["transactions"] == len(IDENTITIES) and overview["states"]["up"] == len(IDENTITIES)
                assert [each["answers"] for each in overview["nodes"]] == [True, True]
                assert sum(each["slots"] for each in overview["nodes"]) == 1024
                systems = (await node.api.get("/central-systems"))["items"]
                assert systems[0]["open_transactions"] == len(IDENTITIES) and systems[0]["p50_ms"] is not None
                assert (await node.api.get("/routes"))["items"][0]["charge_points"] == 14
                assert (await node.api.get("/losses"))["items"] is not None
                transactions, cursor = [], ""
                while True:
                    page = await node.api.get(f"/transactions?limit=5{cursor}")
                    transactions += [each["identity"] for each in page["items"]]
                    if page["next"] is None:
                        break
                    cursor = f"&cursor={page['next']}"
                assert sorted(transactions) == IDENTITIES  # the clocks by which they are ordered may differ
                assert len((await node.api("GET", "/transactions:table")).data.splitlines()) == len(IDENTITIES) + 1
                messages, cursor = [], ""
                while True:
                    page = await node.api.get(f"/messages?limit=7{cursor}")
                    messages += page["items"]
                    if page["next"] is None:
                        break
                    cursor = f"&cursor={page['next']}"
                calls = [each["identity"] for each in messages if each["action"] == "StartTransaction"]
                assert calls == IDENTITIES[::-1]
                assert len({each["id"] for each in messages}) == len(messages)
                assert {each["id"].partition(".")[0] for each in messages} == {"a", "b"}
                for each in messages[:6]:
                    assert (await node.api.get(f"/messages/{each['id']}"))["unique_id"] == each["unique_id"]
                own = (await node.api.get(f"/charge-points/{IDENTITIES[0]}/messages"))["items"]
                assert {each["identity"] for each in own} == {IDENTITIES[0]} and len(own) >= 3
                assert (await node.api("GET", "/charge-points/nobody/messages")).status == 404
                trace = await node.api("GET", "/messages:trace")
                assert trace.status == 200 and len(trace.data.splitlines()) >= 2 * 3 * len(IDENTITIES)

            with frozen(nodes[1].pid):
                part = await nodes[0].api("GET", "/charge-points")
                assert part.headers["OCPP-Bridge-Missing-Nodes"] == "b", part
                assert int(part.headers["OCPP-Bridge-Missing-Slots"]) == 512
                assert 0 < part.data["total"] < 14
                table = await nodes[0].api("GET", "/charge-points:table")
                assert table.status == 503 or len(table.data.splitlines()) == 15  # it has all by now

    run(walk(), 6 * AT_MOST)


def boot(vendor: str) -> str:
    return (
        f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>{vendor}</chargePointVendor>'
        "<chargePointModel>m</chargePointModel></bootNotificationRequest>"
    )


def started() -> str:
    return (
        f'<startTransactionRequest xmlns="{CS}"><connectorId>1</connectorId><idTag>DRIVER-1</idTag>'
        f"<timestamp>{AT}</timestamp><meterStart>1</meterStart></startTransactionRequest>"
    )


def test_the_live_stream_of_each_process_has_the_events_of_all(tmp_path: Path) -> None:
    async def walk() -> None:
        async with CentralSystem() as central, cluster_of(tmp_path, {"main": {"url": central.url}}) as nodes:
            one, other = nodes
            async with one.api.events() as events, other.api.events("?identity=A*") as few:
                await present(other, *IDENTITIES)
                heard: set[str] = set()
                last: str | None = None
                while heard != set(IDENTITIES):
                    _, last, data = await events.next("message")
                    heard.add(data["identity"])
                assert last is not None and last.startswith("a.")
                assert (await few.next("message"))[2]["identity"] == IDENTITIES[0]
            async with one.api.events(last=last) as again:
                await present(one, IDENTITIES[0])
                assert (await again.next("message", "gap"))[0] == "message"
            async with other.api.events(last=last) as elsewhere:
                assert (await elsewhere.next("message", "gap"))[0] == "gap"
                await one.kill()
                assert (await elsewhere.next("gap"))[0] == "gap"

    run(walk(), 6 * AT_MOST)


def test_settings_are_imported_at_all_processes_or_at_none_and_exported_from_all(tmp_path: Path) -> None:
    async def walk() -> None:
        async with CentralSystem() as central, cluster_of(tmp_path, {"main": {"url": central.url}}) as nodes:
            one, other = nodes
            rows = "".join(f"{identity},n {identity}\r\n" for identity in IDENTITIES)
            file = f"identity,certificate_name\r\n{rows}".encode()
            csv = {"Content-Type": "text/csv"}
            broken = file + b"X,,\r\n"
            answers = [await node.api("POST", "/charge-points:import", broken, csv) for node in nodes]
            assert [answer.status for answer in answers] == [422, 422]
            assert [len(answer.data["lines"]) for answer in answers] == [1, 1]
            assert len((await one.api("GET", "/charge-points:export")).data.splitlines()) == 1
            report = (await one.api("POST", "/charge-points:import?dry_run=true", file, csv)).data
            assert (report["rows"], report["created"], report["dry_run"]) == (12, 12, True)
            report = (await other.api("POST", "/charge-points:import", file, csv)).data
            assert (report["rows"], report["created"], report["kept"]) == (12, 12, True)
            report = (await one.api("POST", "/charge-points:import", file, csv)).data
            assert report["unchanged"] == 12
            exported = [(await node.api("GET", "/charge-points:export")).data.decode() for node in nodes]
            assert exported[0] == exported[1]
            assert [line.partition(",")[0] for line in exported[0].splitlines()[1:]] == IDENTITIES
            with frozen(other.pid):
                assert (await one.api("POST", "/charge-points:import", file, csv)).status == 503

    run(walk(), 6 * AT_MOST)


def test_a_move_reaches_charge_points_of_all_processes_and_outlives_the_one_that_carries_it_out(tmp_path: Path) -> None:
    async def walk() -> None:
        central = CentralSystem()
        systems = {"main": {"url": central.url}, "b": {"url": central.url}}
        async with central, cluster_of(tmp_path, systems, lease=4) as nodes:
            one, other = nodes
            for identity in IDENTITIES:
                answer = await post(other, envelope(boot("v"), identity=identity))
                assert answer.status == 200, answer
            wanted = {"charge_points": "*", "central_system": "b", "when": "now", "wave": 5}
            planned = await other.api("POST", "/moves", wanted | {"dry_run": True})
            assert [each["identity"] for each in planned.data["members"]] == IDENTITIES, planned
            begun = await other.api("POST", "/moves", wanted)
            assert begun.status == 200 and begun.data["total"] == len(IDENTITIES), begun
            number = begun.data["id"]
            overlapping = await one.api("POST", "/moves", wanted)
            assert overlapping.status == 409

            async def done() -> bool:
                told = [(await node.api.get("/moves"))["items"][0] for node in nodes]
                assert not any(each["counts"]["failed"] for each in told), await one.api.get(f"/moves/{number}")
                return all(each["state"] == "done" for each in told)

            await until(done)
            for node in nodes:
                moved = (await node.api.get("/routes"))["moved"]
                assert [each["identity"] for each in moved] == IDENTITIES
                assert {each["central_system"] for each in moved} == {"b"}

            slow = {"charge_points": "*", "central_system": "main", "when": "now", "wave": 4, "pause": 15}
            number = (await other.api("POST", "/moves", slow)).data["id"]

            async def began() -> bool:
                return bool((await other.api.get(f"/moves/{number}"))["counts"]["done"] >= 4)

            await until(began)
            await one.kill()

            async def carried_on() -> bool:
                answer = await other.api("GET", f"/moves/{number}")
                return answer.status == 200 and answer.data["state"] == "done"

            await until(carried_on)
            told = await other.api.get(f"/moves/{number}")
            assert told["counts"]["done"] == len(IDENTITIES), told
            paused = await other.api("POST", f"/moves/{number}/rollback")
            assert paused.status == 200

    run(walk(), 6 * AT_MOST)
