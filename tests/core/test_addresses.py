"""Where a SOAP Charge Point may be called back, and where nobody's word can lead the bridge."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from yarl import URL

from bridge.core.addresses import CallbackRefusal, CallbackTarget, Learning, known, learn, pinned
from bridge.core.destinations import Network, OwnListeners

PEER = "10.1.2.3"
NEVER = [
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"),
    *("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255"),
]
ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"
# Of the 2004 submission to the W3C, which old stacks write.
OLD_ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def admitting(*texts: str, loopback: bool = True) -> Learning:
    return Learning(networks=networks(*texts), loopback=loopback)


def learnt(
    sent_from: str | None, reply_to: str | None = None, *, peer: str = PEER, allowed: tuple[str, ...] = ()
) -> CallbackTarget:
    callback = learn(sent_from, reply_to, peer, admitting(*allowed))
    assert isinstance(callback, CallbackTarget), callback
    return callback


def refused(
    sent_from: str | None, reply_to: str | None = None, *, peer: str = PEER, allowed: tuple[str, ...] = ()
) -> str:
    refusal = learn(sent_from, reply_to, peer, admitting(*allowed))
    assert isinstance(refusal, CallbackRefusal), refusal
    return refusal.reason


class TestWhatIsLearnt:
    @pytest.mark.parametrize(
        "url",
        [
            "http://10.1.2.3:8081/",
            "http://10.1.2.3",
            "https://10.1.2.3/ocpp/ChargePointService",
            "http://10.1.2.3:8081/a%20b?station=1&x=%2F",
        ],
    )
    def test_the_peers_own_address_as_it_was_written(self, url: str) -> None:
        assert learnt(url).url == url
        assert learnt(f"\n  {url}\t").url == url

    def test_a_fragment_is_no_part_of_an_address(self) -> None:
        assert learnt("http://10.1.2.3/x#y").url == "http://10.1.2.3/x"

    def test_from_counts_before_reply_to(self) -> None:
        assert learnt("http://10.1.2.3:1/", "http://10.1.2.3:2/").url == "http://10.1.2.3:1/"

    @pytest.mark.parametrize("sent_from", [None, "", "  \n", ANONYMOUS, OLD_ANONYMOUS])
    def test_reply_to_counts_where_from_says_nothing(self, sent_from: str | None) -> None:
        assert learnt(sent_from, "http://10.1.2.3:2/").url == "http://10.1.2.3:2/"

    @pytest.mark.parametrize("sent_from", ["http://10.9.9.9/", "ftp://10.1.2.3/", "nonsense"])
    def test_and_where_from_cannot_be_used(self, sent_from: str) -> None:
        assert learnt(sent_from, "http://10.1.2.3:2/").url == "http://10.1.2.3:2/"

    @pytest.mark.parametrize("text", [None, "", "   "])
    def test_nothing_from_nothing(self, text: str | None) -> None:
        assert learn(text, text, PEER, Learning()) is None

    def test_nothing_from_an_anonymous_reply_to_alone(self) -> None:
        """That is what every well-behaved stack writes, and means the response."""
        assert learn(None, ANONYMOUS, PEER, Learning()) is None


class TestRepair:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("http://:8082/", "http://10.1.2.3:8082/"),
            ("http://:8082", "http://10.1.2.3:8082"),
            ("https://:443/x?y=1", "https://10.1.2.3:443/x?y=1"),
            ("http:///service", "http://10.1.2.3/service"),
        ],
    )
    def test_a_missing_host_is_the_peers(self, written: str, meant: str) -> None:
        assert learnt(written).url == meant

    @pytest.mark.parametrize("text", [ANONYMOUS, OLD_ANONYMOUS, f" {ANONYMOUS}\n"])
    @pytest.mark.parametrize("reply_to", [None, ANONYMOUS])
    def test_an_anonymous_from_is_the_peer(self, text: str, reply_to: str | None) -> None:
        assert learnt(text, reply_to).url == "http://10.1.2.3/"

    def test_an_ipv6_peer_stands_in_brackets(self) -> None:
        assert learnt("http://:8082/", peer="2001:db8::7").url == "http://[2001:db8::7]:8082/"
        assert learnt(ANONYMOUS, peer="2001:db8::7").url == "http://[2001:db8::7]/"


class TestWhereItMayLead:
    @pytest.mark.parametrize(
        "url",
        [
            "http://10.1.2.4/",
            "http://127.0.0.1:8081/",
            "http://169.254.7.7/",
            "http://192.168.0.1/",
            "http://8.8.8.8/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ],
    )
    def test_not_to_other_hosts_whether_private_or_public(self, url: str) -> None:
        assert re.search("is neither the peer 10.1.2.3 nor in soap.callback_networks|is link-local", refused(url))

    @pytest.mark.parametrize("host", NEVER)
    @pytest.mark.parametrize("clothes", ["{}", "[::ffff:{}]"])
    def test_to_some_on_nobodys_word(self, host: str, clothes: str) -> None:
        """Not even the peer's own, or where the operator named the network."""
        if ":" in host:
            clothes = "[{}]"
        address = clothes.format(host)
        reason = "is an address that nobody is called back at"
        everywhere = ("0.0.0.0/0", "::/0", "169.254.0.0/16", "100.64.0.0/10", "fd00::/8", host)
        assert refused(f"http://{address}/latest/meta-data", peer=host, allowed=everywhere).endswith(reason)
        named = learnt("http://cp.example/", allowed=everywhere)
        assert not named.admits(address.strip("[]"))

    @pytest.mark.parametrize(
        ("url", "network"),
        [
            ("http://169.254.7.7:8081/", "169.254.7.0/24"),
            ("http://[fe80::7]:8081/", "fe80::/10"),
            ("http://127.0.0.1:8081/", "127.0.0.0/8"),
            ("http://[::1]:8081/", "::1/128"),
            ("http://[::ffff:127.0.0.1]:8081/", "127.0.0.1/32"),
        ],
    )
    def test_to_the_link_and_the_machine_only_where_that_is_named(self, url: str, network: str) -> None:
        assert learnt(url, allowed=(network,)).url == url
        assert "is link-local or loopback" in refused(url, allowed=("0.0.0.0/0", "::/0"))

    def test_a_link_local_peer_is_not_called_back(self) -> None:
        assert "is link-local" in refused("http://169.254.7.7/", peer="169.254.7.7")
        assert "is link-local" in refused("http://:8082/", peer="fe80::1%eth0")
        named = learnt("http://cp.example/", peer="169.254.7.7", allowed=("10.9.0.0/16",))
        assert not named.admits("169.254.7.7") and named.admits("10.9.0.1")

    def test_a_peer_on_the_machine_is(self) -> None:
        assert learnt("http://127.0.0.1:8081/", peer="127.0.0.1").admits("127.0.0.1")
        assert learnt("http://[::1]:8081/", peer="::1").admits("::1")
        refused("http://127.0.0.2:8081/", peer="127.0.0.1")

    @pytest.mark.parametrize("port", [0, 22, 25, 53, 6379, 11211])
    def test_where_other_protocols_are_spoken(self, port: int) -> None:
        assert refused(f"http://10.1.2.3:{port}/").endswith("is the port of another protocol")
        assert "is the port" in refused(f"http://:{port}/")

    @pytest.mark.parametrize("port", [80, 81, 443, 1024, 8080, 65535])
    def test_where_a_charge_point_may_listen(self, port: int) -> None:
        assert learnt(f"http://10.1.2.3:{port}/").url == f"http://10.1.2.3:{port}/"

    def test_to_networks_that_the_operator_named(self) -> None:
        assert learnt("http://10.9.9.9:8081/", allowed=("10.9.0.0/16",)).url == "http://10.9.9.9:8081/"
        assert learnt("http://[2001:db8::9]/", allowed=("2001:db8::/64",)).url == "http://[2001:db8::9]/"
        refused("http://10.8.9.9:8081/", allowed=("10.9.0.0/16", "2001:db8::/64"))

    def test_a_peer_behind_a_proxy_does_not_widen_them(self) -> None:
        callback = learnt("http://10.9.9.9/", allowed=("10.9.0.0/16",))
        assert callback.admits("10.9.0.1") and callback.admits(PEER)
        assert not callback.admits("10.8.0.1")

    def test_ipv6(self) -> None:
        url = "http://[2001:db8::7]:8081/"
        assert learnt(url, peer="2001:db8::7").url == url
        assert learnt("http://[2001:0DB8:0::7]/", peer="2001:db8::7").admits("2001:db8::7")
        refused("http://[2001:db8::8]/", peer="2001:db8::7")

    @pytest.mark.parametrize(
        ("peer", "url"),
        [
            ("::ffff:10.1.2.3", "http://10.1.2.3:8081/"),
            ("10.1.2.3", "http://[::ffff:10.1.2.3]:8081/"),
            ("::ffff:10.1.2.3", "http://[::ffff:a01:203]:8081/"),
        ],
    )
    def test_an_ipv4_address_in_ipv6_clothes_is_the_same(self, peer: str, url: str) -> None:
        callback = learnt(url, peer=peer)
        assert callback.admits("10.1.2.3") and callback.admits("::ffff:10.1.2.3")
        assert not callback.admits("10.1.2.4") and not callback.admits("::ffff:10.1.2.4")

    def test_a_link_local_peer_has_a_zone(self) -> None:
        callback = learnt("http://:8082/", peer="fe80::1%eth0", allowed=("fe80::1/128",))
        assert callback.url == "http://[fe80::1%eth0]:8082/"
        assert callback.admits("fe80::1%eth0") and not callback.admits("fe80::2%eth0")

    def test_a_name_is_admitted_only_where_it_leads(self) -> None:
        callback = learnt("http://cp1.fleet.example:8081/", allowed=("10.9.0.0/16",))
        assert callback.url == "http://cp1.fleet.example:8081/"
        assert callback.admits(PEER) and callback.admits("10.9.1.1")
        assert not callback.admits("127.0.0.1") and not callback.admits("::1")

    @pytest.mark.parametrize(
        "host", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127。0。0。1", "１２７.0.0.1"]
    )
    def test_nor_does_another_spelling_of_an_address_lead_anywhere_else(self, host: str) -> None:
        """The system's resolver reads these as addresses; we take them for names, and check what they lead to."""
        callback = learn(f"http://{host}/", None, PEER, Learning())
        assert isinstance(callback, CallbackRefusal) or not callback or not callback.admits("127.0.0.1")

    @pytest.mark.parametrize(
        "text",
        [
            "ftp://10.1.2.3/",
            "file:///etc/passwd",
            "gopher://10.1.2.3/",
            "javascript:alert(1)",
            "10.1.2.3:8081",
            "10.1.2.3",
            "//10.1.2.3/",
            "http://10.1.2.3:99999/",
            "http://10.1.2.3:http/",
            "http://[10.1.2.3/",
            "http://[]/",
            "http://a..b/",
            "http://../",
            "http://[::1]x/",
            "http://x[::1]/",
            "http://[::1][::1]/",
            "http://[::1]8081:80/",
            "http://a b/",
            "http://10.1.2.3\\.example/",
            "http://%31%30.1.2.3/",
            "nonsense",
        ],
    )
    def test_what_is_no_plain_http_address_is_refused(self, text: str) -> None:
        assert refused(text) == f"{text!r} is not an http address"

    @pytest.mark.parametrize(
        "text",
        [
            "http://user:pass@10.1.2.3/",
            "http://pass@10.1.2.3/",
            "http://10.1.2.3:pass@8.8.8.8/",
            "http://u:pass@:80/",
            "ftp://u:pass@10.1.2.3/",
            "http://8.8.8.8\\pass@10.1.2.3/",
        ],
    )
    def test_nor_are_credentials_taken_or_told(self, text: str) -> None:
        assert refused(text) == "the address is not an http address"

    def test_a_reason_is_one_line(self) -> None:
        assert len(refused("http://10.9.9.9/" + "a" * 100_000)) < 300

    def test_the_first_reason_is_told(self) -> None:
        assert "10.9.9.9" in refused("http://10.9.9.9/", "nonsense")
        assert "10.9.9.9" in refused(ANONYMOUS, "http://10.9.9.9/")


class TestPinned:
    def test_the_operators_word_goes_anywhere(self) -> None:
        callback = pinned("http://user@cp.example/x")
        assert callback.url == "http://user@cp.example/x"
        assert callback.admits("127.0.0.1") and callback.admits("2001:db8::1")


IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
PEERS = IPV4 | IPV6 | IPV4.map("::ffff:{}".format)
HOSTS = (
    IPV4
    | IPV6.map("[{}]".format)
    | IPV4.map("[::ffff:{}]".format)
    | st.sampled_from(["", "cp.example", "127.1", "localhost", "[v1.x]", "xn--nxasmq6b"])
    | st.text(max_size=8)
)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Something like an address."""
    scheme = draw(st.sampled_from(["http", "https", "HTTP", "ftp", ""]))
    user = draw(st.sampled_from(["", "", "", "u@", "u:p@"]))
    port = draw(st.sampled_from(["", ":", ":80", ":8082", ":99999", ":x"]))
    rest = draw(st.sampled_from(["", "/", "/a?b#c"]) | st.text(max_size=8))
    return f"{scheme}://{user}{draw(HOSTS)}{port}{rest}"


TEXTS: SearchStrategy[str | None] = (
    st.none() | st.text(max_size=30) | urls() | st.sampled_from([ANONYMOUS, "http://:1/"])
)
NETWORKS = st.lists(
    st.sampled_from(networks("10.0.0.0/8", "192.168.7.0/24", "2001:db8::/32", "127.0.0.0/8", "0.0.0.0/32")), max_size=2
)


def really(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def admitted(address: str, peer: str, allowed: list[Network]) -> bool:
    """What the rules come to, in Python's words for the kinds of addresses."""
    ip = really(address)
    if ip.is_multicast or str(ip) in NEVER or (ip.version == 4 and ip in ip_network("0.0.0.0/8")):
        return False
    if ip.is_unspecified or (ip == really(peer) and ip.is_link_local):
        return False
    return ip == really(peer) or any(ip.version == network.version and ip in network for network in allowed)


@given(sent_from=TEXTS, reply_to=TEXTS, peer=PEERS, allowed=NETWORKS, address=PEERS)
@example(sent_from="http://a\\b/", reply_to=None, peer=PEER, allowed=[], address="127.0.0.1")
def test_nobody_leads_the_bridge_elsewhere(
    sent_from: str | None, reply_to: str | None, peer: str, allowed: list[Network], address: str
) -> None:
    """Any text is learnt or refused, and what is learnt admits the peer and the operator's networks, nothing else."""
    result = learn(sent_from, reply_to, peer, Learning(networks=tuple(allowed), loopback=True))
    if not isinstance(result, CallbackTarget):
        assert result is None or result.reason
        return
    assert result.admits(address) == admitted(address, peer, allowed)
    try:
        url = URL(result.url)
    except ValueError:
        # An international name that cannot be spelled in ASCII: the client says that it leads nowhere.
        assert not result.url.isascii() or "xn--" in result.url
        return
    assert url.scheme in ("http", "https")
    assert url.host and url.user is None and url.fragment == ""


@given(peer=PEERS, address=PEERS, allowed=NETWORKS)
def test_an_address_is_learnt_if_and_only_if_it_is_admitted(peer: str, address: str, allowed: list[Network]) -> None:
    host = f"[{address}]" if ":" in address else address
    result = learn(f"http://{host}:8081/", None, peer, Learning(networks=tuple(allowed), loopback=True))
    assert isinstance(result, CallbackTarget) == admitted(address, peer, allowed)


class TestLimited:
    """The operator's networks may be others by now than when an address was learnt."""

    @pytest.mark.parametrize(
        ("before", "now", "admitted"),
        [
            (("10.9.0.0/16",), ("10.9.0.0/16",), ("10.9.1.1", "10.9.2.1", "10.9.3.1")),
            (("10.9.0.0/16",), ("10.9.1.0/24",), ("10.9.1.1",)),
            (("10.9.1.0/24",), ("10.0.0.0/8",), ("10.9.1.1",)),
            (
                ("10.9.0.0/16", "fd00::/8"),
                ("fd00::/16", "10.9.1.0/24", "10.9.2.0/24"),
                ("10.9.1.1", "10.9.2.1", "fd00::1"),
            ),
            (("10.9.0.0/16",), (), ()),
            ((), ("10.9.0.0/16",), ()),
            (("10.9.0.0/16",), ("fd00::/8", "10.8.0.0/16"), ()),
        ],
    )
    def test_what_both_admit_is_admitted_and_the_peer(
        self, before: tuple[str, ...], now: tuple[str, ...], admitted: tuple[str, ...]
    ) -> None:
        limited = learnt("http://cp.example/", allowed=before).limited(networks(*now))
        tried = ("10.9.1.1", "10.9.2.1", "10.9.3.1", "10.8.0.1", "fd00::1", "fdff::1")
        assert {address for address in tried if limited.admits(address)} == {*admitted}
        assert limited.admits(PEER)

    def test_what_was_configured_is_not_touched(self) -> None:
        assert pinned("http://cp.example/").limited(()) == pinned("http://cp.example/")

    def test_nothing_is_lost_where_nothing_has_changed(self) -> None:
        callback = learnt("http://cp.example/", allowed=("10.9.0.0/16", "fd00::/8"))
        assert callback.limited(networks("10.9.0.0/16", "fd00::/8")) == callback


@pytest.mark.parametrize("text", ["anywhere", "10.0.0.1/8", ""])
def test_networks_that_are_none_are_not_known(text: str) -> None:
    with pytest.raises(ValueError):
        known("http://cp.example/", ["10.0.0.0/8", text])


class TestOnThisMachine:
    """A peer on loopback may be a proxy that passes strangers on, and a listener of the bridge is no Charge Point."""

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8082/", "http://:8082/", ANONYMOUS, "http://[::ffff:127.0.0.1]/"]
    )
    def test_a_peer_on_loopback_only_where_the_listener_is_there_too(self, url: str) -> None:
        assert isinstance(learn(url, None, "127.0.0.1", admitting(loopback=True)), CallbackTarget)
        refusal = learn(url, None, "127.0.0.1", admitting(loopback=False))
        assert isinstance(refusal, CallbackRefusal) and "link-local or loopback" in refusal.reason
        assert isinstance(learn(url, None, "127.0.0.1", admitting("127.0.0.0/8", loopback=False)), CallbackTarget)

    def test_one_that_was_learnt_before_too(self) -> None:
        callback = learn("http://127.0.0.1:8082/", None, "127.0.0.1", admitting("10.0.0.0/8", loopback=True))
        assert isinstance(callback, CallbackTarget) and callback.admits("127.0.0.1")
        limited = callback.limited(networks("10.0.0.0/8"), loopback=False)
        assert limited.admits("10.0.0.1") and not limited.admits("127.0.0.1")
        assert callback.limited(networks("10.0.0.0/8")).admits("127.0.0.1")

    @pytest.mark.parametrize("url", ["http://10.1.2.3:8080/x", "http://gateway.example:80/", "http://gateway.example"])
    def test_never_the_bridge_itself(self, url: str) -> None:
        own = OwnListeners.at([(PEER, 8080), ("gateway.example", 80)])
        refusal = learn(url, None, PEER, Learning(own=own))
        assert isinstance(refusal, CallbackRefusal) and "one of the bridge's own listeners" in refusal.reason
