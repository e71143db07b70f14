"""What is wrong with a receiver of events, and where."""

from __future__ import annotations

import pytest

from bridge.config import cautions, exposed
from bridge.errors import ConfigurationError
from tests.config import Files

WEBHOOK = {"name": '"billing"', "kind": '"webhook"', "url": '"https://billing.example.com/"', "secret": '"s3cret"'}
MQTT = {"name": '"fleet"', "kind": '"mqtt"', "url": '"mqtts://broker.example.com"'}
NATS = {"name": '"lake"', "kind": '"nats"', "url": '"nats://nats.example.com:4222"'}


def text(*tables: dict[str, str]) -> str:
    """The tables in TOML. A key with an empty value is left out."""
    lines = [["[[events]]", *(f"{key} = {value}" for key, value in table.items() if value)] for table in tables]
    return "\n".join(line for table in lines for line in table)


def complaints(files: Files, *tables: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        files.load(text(*tables))
    return [f"{complaint.key}: {complaint.text}" for complaint in caught.value.complaints]


def test_all_three_kinds(files: Files) -> None:
    more = {"types": '["boot", "link"]', "charge_point": '"NL-*"', "timeout": "3", "max_events": "5", "max_age": "60"}
    users = {"username": '"bridge"', "password": '"s3cret"', "topic": '"fleet/{type}"'}
    settings = files.load(text(WEBHOOK | more, MQTT | users, NATS | {"password": '"token"', "topic": '"a.{type}"'}))
    webhook, mqtt, nats = settings.events
    assert (webhook.types, webhook.charge_point, webhook.timeout) == (("boot", "link"), "NL-*", 3)
    assert mqtt.password is not None and mqtt.password.reveal() == b"s3cret"
    assert (nats.username, nats.topic) == ("", "a.{type}")
    assert [line for line in (*exposed(settings), *cautions(settings)) if "events" in line] == []


def test_secrets_come_from_files(files: Files) -> None:
    files.write("s3cret\n", "secret")
    (webhook,) = files.load(text(WEBHOOK | {"secret": "", "secret_file": f'"{files.folder}/secret"'})).events
    assert webhook.secret is not None and webhook.secret.reveal() == b"s3cret"
    assert "s3cret" not in repr(webhook)


def test_a_file_with_a_secret_that_others_can_read_is_told(files: Files) -> None:
    files.write("s3cret\n", "secret").chmod(0o644)
    settings = files.load(text(WEBHOOK | {"secret": "", "secret_file": f'"{files.folder}/secret"'}))
    assert any(line.startswith("events[0].secret_file: the file can be read") for line in exposed(settings))


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (WEBHOOK | {"name": ""}, "name: missing"),
        (WEBHOOK | {"name": '" a"'}, "name: expected a name without blanks around it or control characters"),
        (WEBHOOK | {"name": '""'}, "name: expected a name without blanks around it or control characters"),
        (WEBHOOK | {"kind": '"pigeon"'}, 'kind: expected one of "webhook", "mqtt", "nats", got text "pigeon"'),
        (WEBHOOK | {"kind": ""}, "kind: missing"),
        (WEBHOOK | {"url": ""}, "url: missing"),
        (WEBHOOK | {"url": '"mqtt://x"'}, "url: expected an address that begins with http:// or https://"),
        (MQTT | {"url": '"http://x"'}, "url: expected an address that begins with mqtt:// or mqtts://"),
        (NATS | {"url": '"ws://x"'}, "url: expected an address that begins with nats:// or tls://"),
        (MQTT | {"url": '"mqtt://x/ocpp"'}, "url: the address has a path: topic says where events are published"),
        (NATS | {"url": '"nats://"'}, "url: the address has no host"),
        (
            MQTT | {"url": '"mqtt://me:s3cret@x"'},
            "url: an address holds no credentials: secret_file, username and password_file hold them",
        ),
        (WEBHOOK | {"secret": ""}, "secret_file: missing: a webhook is signed with it"),
        (WEBHOOK | {"secret": '""'}, "secret: is empty"),
        (
            WEBHOOK | {"secret": "", "secret_file": '"nowhere"'},
            "secret_file: the file cannot be read: No such file or directory",
        ),
        (MQTT | {"secret": '"x"'}, "secret: is for webhooks"),
        (WEBHOOK | {"topic": '"a"'}, "topic: is for mqtt and nats: a webhook is signed with its secret"),
        (WEBHOOK | {"username": '"a"', "password": '"b"'}, "username: is for mqtt and nats: a webhook is signed"),
        (MQTT | {"password": '"x"'}, "username: missing: MQTT has no password without a username"),
        (MQTT | {"username": '"x"'}, "password_file: missing: a username alone proves nothing"),
        (MQTT | {"topic": '"ocpp/#"'}, "topic: a topic that is published to holds no + or #"),
        (MQTT | {"topic": '"$SYS/x"'}, "topic: a topic that is published to holds no + or #"),
        (MQTT | {"topic": '"a/{identity}"'}, 'topic: knows {charge_point}, {type} and {tenant}, not "identity"'),
        (MQTT | {"topic": '"a/{type"'}, "topic: expected a printable text"),
        (MQTT | {"topic": f'"{"x" * 1001}"'}, "topic: expected a printable text"),
        (NATS | {"topic": '"a..b"'}, "topic: expected words with a dot between them"),
        (NATS | {"topic": '"a.>"'}, "topic: expected words with a dot between them"),
        (NATS | {"topic": '"a b"'}, "topic: expected words with a dot between them"),
        (WEBHOOK | {"types": '["boot", "reboot"]'}, 'types[1]: expected one of "boot", "status"'),
        (WEBHOOK | {"charge_point": '""'}, "charge_point: is empty, a * takes every Charge Point"),
        (WEBHOOK | {"timeout": "0"}, "timeout: expected more than 0"),
        (WEBHOOK | {"max_events": "0"}, "max_events: expected 1 or more"),
        (WEBHOOK | {"retries": "3"}, "retries: unknown key, known here are"),
        (WEBHOOK | {"tls": '{ ca = "nowhere" }'}, "tls.ca: there is no such file"),
        (
            NATS | {"tls": "{}"},
            "tls: is of no use: the address does not begin with https:// or mqtts:// or tls://",
        ),
    ],
)
def test_what_is_wrong(files: Files, table: dict[str, str], complaint: str) -> None:
    first, *_ = complaints(files, table)
    assert first.startswith(f"events[0].{complaint}")


def test_two_receivers_of_one_name(files: Files) -> None:
    told = complaints(files, WEBHOOK, NATS | {"name": '"billing"'})
    assert told == ['events[1].name: "billing" is taken: each receiver has events of its own']


def test_all_that_is_wrong_is_told_at_once(files: Files) -> None:
    told = complaints(files, WEBHOOK | {"secret": ""}, MQTT | {"url": '"x"'}, NATS | {"topic": '">"'})
    assert [line.partition(":")[0] for line in told] == ["events[0].secret_file", "events[1].url", "events[2].topic"]


def test_a_file_whose_secret_is_missing_has_one_complaint(files: Files) -> None:
    told = complaints(files, MQTT | {"username": '"x"', "password_file": '"nowhere"'})
    assert told == ["events[0].password_file: the file cannot be read: No such file or directory"]


def test_variables_set_them_too(files: Files) -> None:
    (webhook,) = files.load(text(WEBHOOK), {"OCPP_BRIDGE__EVENTS__0__SECRET": "other"}).events
    assert webhook.secret is not None and webhook.secret.reveal() == b"other"
