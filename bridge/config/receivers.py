"""Check the receivers of events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from bridge.config.complaints import Complaints, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import EventReceiver
from bridge.config.tls import check_client_tls
from bridge.config.urls import HTTP, check_url

_SCHEMES = {"webhook": HTTP, "mqtt": ("mqtt", "mqtts"), "nats": ("nats", "tls")}
_SECURE = ("https:", "mqtts:", "tls:")
_PLACEHOLDER = re.compile(r"\{(.*?)\}")
_PLACEHOLDERS = frozenset({"charge_point", "type", "tenant"})
# Octets of a topic without the identity. MQTT 5 section 1.5.4 has 65535 for the whole.
_LONGEST = 1000


def check_receivers(receivers: Sequence[EventReceiver], complaints: Complaints) -> None:
    """Complain about receivers of events that cannot work."""
    seen: set[str] = set()
    for index, receiver in enumerate(receivers):
        path: KeyPath = ("events", index)
        if not receiver.name.strip() or not receiver.name.isprintable() or receiver.name != receiver.name.strip():
            complaints.add((*path, "name"), "expected a name without blanks around it or control characters")
        elif receiver.name in seen:
            complaints.add((*path, "name"), f"{quote(receiver.name)} is taken: each receiver has events of its own")
        seen.add(receiver.name)
        if not receiver.charge_point.strip():
            complaints.add((*path, "charge_point"), "is empty, a * takes every Charge Point")
        if not complaints.about((*path, "kind")):
            _check_keys(path, receiver, complaints)
            _check_address(path, receiver, complaints)
            if receiver.topic:
                _check_topic((*path, "topic"), receiver, complaints)
        check_client_tls((*path, "tls"), receiver.tls, receiver.url, complaints, _SECURE)


def _check_keys(path: KeyPath, receiver: EventReceiver, complaints: Complaints) -> None:
    """Complain about keys that the kind of receiver needs or does not have."""
    webhook = receiver.kind == "webhook"
    if webhook and receiver.secret is None and not complaints.inside((*path, "secret_file")):
        complaints.add((*path, "secret_file"), "missing: a webhook is signed with it")
    if not webhook and receiver.secret is not None:
        complaints.add((*path, "secret_file" if receiver.secret.file else "secret"), "is for webhooks")
    for key in ("topic", "username", "password"):
        if webhook and getattr(receiver, key):
            complaints.add((*path, key), "is for mqtt and nats: a webhook is signed with its secret")
    if receiver.kind == "mqtt" and receiver.password is not None and not receiver.username:
        complaints.add((*path, "username"), "missing: MQTT has no password without a username")
    if receiver.username and receiver.password is None and not complaints.inside((*path, "password_file")):
        complaints.add((*path, "password_file"), "missing: a username alone proves nothing")


def _check_address(path: KeyPath, receiver: EventReceiver, complaints: Complaints) -> None:
    key = (*path, "url")
    if complaints.about(key):
        return
    if "@" in receiver.url.partition("://")[2].partition("/")[0]:
        complaints.add(key, "an address holds no credentials: secret_file, username and password_file hold them")
        return
    check_url(key, receiver.url, _SCHEMES[receiver.kind], complaints, query=receiver.kind == "webhook")
    if receiver.kind != "webhook" and not complaints.about(key) and urlsplit(receiver.url).path.strip("/"):
        complaints.add(key, "the address has a path: topic says where events are published")


def _check_topic(path: KeyPath, receiver: EventReceiver, complaints: Complaints) -> None:
    """Complain about a topic of MQTT 5 (section 4.7) or a subject of NATS to which nothing can be published."""
    topic = receiver.topic
    unknown = next((name for name in _PLACEHOLDER.findall(topic) if name not in _PLACEHOLDERS), None)
    plain = _PLACEHOLDER.sub("x", topic)
    if unknown is not None:
        complaints.add(path, f"knows {{charge_point}}, {{type}} and {{tenant}}, not {quote(unknown)}")
    elif not topic.isprintable() or len(topic.encode()) > _LONGEST or "{" in plain or "}" in plain:
        complaints.add(path, f"expected a printable text of at most {_LONGEST} octets")
    elif receiver.kind == "mqtt" and (set(plain) & set("+#") or topic.startswith("$")):
        complaints.add(path, "a topic that is published to holds no + or #, and does not begin with $")
    elif receiver.kind == "nats" and (set(plain) & set("*> ") or "" in plain.split(".") or topic.startswith("$")):
        complaints.add(path, "expected words with a dot between them, without *, > or blanks, such as fleet.{type}")
