"""What is cut out of a message before it is shown or put away: credentials always, the idTags of drivers if so wished.

Pure, and forgiving: what comes in need not be well-formed, and need not be of OCPP. All else stays byte for byte, and
what was well-formed stays so. Where escapes hide something from the patterns, a text is taken apart or goes as a whole.
No text makes this slow: every pattern is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from html import unescape
from typing import Any

import msgspec

from bridge.paths import LEAST_TOKEN, PART_OF_TOKEN

MASK = "***"
HIDDEN = "*** (it names a credential)"

# ftp://user:password@host (OCPP 1.6 edition 2, section 8); JSON may write its slashes with a backslash.
_URL_PASSWORD = re.compile(rb"(:(?:\\?/){2}[^/@:\s\"]*:)[^/\s\"]*@")
_URL_PASSWORD_IN_XML = re.compile(rb"(://[^/@:\s\"<]*:)[^/\s\"<]*@")
# The token in the address of our own service (wsa:To), or a part of one; behind it, or alone, may be the identity. What
# stands in front of it may be other words than ours, where a proxy has its own: there, what may be a whole token goes.
_SEGMENT = rb"[\w.~%&;#-]"
_SERVICE_TOKEN = re.compile(
    rb"(CentralSystemService(?:\\?/)++(?:1\.[256](?:\\?/)++)?)(" + _SEGMENT + rb"{%d,}+)" % PART_OF_TOKEN, re.I
)
_TO = re.compile(rb"<((?:[\w.-]++:)?To)(?:\s[^<>]*+)?>", re.I)
_PATH_TOKEN = re.compile(rb"((?<![^/]))(" + _SEGMENT + rb"{%d,}+)" % LEAST_TOKEN)
_ID_TAGS = frozenset({"idtag", "parentidtag"})

# JSON: a member's value. Inside a text that is JSON itself (DataTransfer), quotes have backslashes before them, or are
# entities if that text stands in XML.
_MEMBER = re.compile(rb'("(?:parent)?idtag"\s*+:\s*+)("(?:[^"\\]|\\.)*+"?|[^\s,{}\[\]"<]++)', re.I | re.S)
_INNER_MEMBER = re.compile(rb'(\\+"(?:parent)?idtag\\+"\s*+:\s*+\\+")[^"\\]*+', re.I)
_ENTITY_MEMBER = re.compile(rb"(&quot;(?:parent)?idtag&quot;\s*+:\s*+&quot;)[^&<]*+", re.I)
_DEEP_MEMBER = re.compile(rb'"(?:parent)?idtag"\s*+:\s*+[\[{]', re.I)
# XML: start tags, with the local name. OCPP has no attributes of these names, vendors may.
_ID_TAG = re.compile(rb"<((?:[\w.-]++:)?(?:parent)?idtag)(?:\s[^<>]*+)?>", re.I)
_ID_TAG_ATTRIBUTE = re.compile(rb"""(\s(?:[\w.-]++:)?(?:parent)?idtag\s*+=\s*+)(?:"[^"<]*+"|'[^'<]*+')""", re.I)
_ELEMENT = re.compile(rb"<([\w.:-]++)(?:\s[^<>]*+)?>")
_SETTING = re.compile(rb"<((?:[\w.-]++:)?(?:configurationKey|changeConfigurationRequest))(?:\s[^<>]*+)?>", re.I)
_KEY = re.compile(rb"<(?:[\w.-]++:)?key(?:\s[^<>]*+)?>([^<]*+)<", re.I)
_VALUE = re.compile(rb"<((?:[\w.-]++:)?value)(?:\s[^<>]*+)?>", re.I)
# A Body whose only element is a request or an answer, from its start tag to its end, and what stands behind it.
_XMLNS = rb"(?:\s++xmlns(?::[\w.-]++)?=\"[^\"<>]*+\")*+\s*+>"
_OPENING = re.compile(rb"<(?:[\w.-]++:)?Body" + _XMLNS + rb"\s*+<((?:[\w.-]++:)?[\w.-]++)" + _XMLNS)
_CLOSING = re.compile(rb"\s*+</[^<>]++>\s*+</[^<>]++>\s*+")
# With none of them, elements are all there is: no attributes, comments, CDATA, entities, nor passwords in addresses.
_MARKS = (b"=", b"!", b"?", b"&", b"@")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError, ArithmeticError)


def masked(data: bytes, *, id_tags: bool, harmless: bool = False) -> bytes:
    """An envelope or a frame, without credentials and, if `id_tags`, without idTags. `harmless`: we wrote it, and it is
    of an action that has no field for any of them, so that only addresses are looked for."""
    if harmless:
        return _without_secrets_of_addresses(data)
    if b"\0" in data[:8]:
        return _of_two_octets(data, id_tags)
    return _xml(data, id_tags) if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else _json(data, id_tags)


def masked_around(data: bytes, *, id_tags: bool) -> bytes:
    """As `masked`, for an envelope that was read without a Loss, and whose action has no field for an idTag or a
    credential: all that is in its Body has names that are known, so that only what is around it is looked at."""
    body = _harmless_body(data)
    return _xml(data[:body], id_tags) + data[body:] if body else masked(data, id_tags=id_tags)


def _harmless_body(data: bytes) -> int:
    """Where the Body begins, 0 if there may be more in it, or behind it, than the elements that were read."""
    begin = data.rfind(b"<", 0, max(data.find(b"Body"), 0))
    found = _OPENING.match(data, begin) if begin > 0 and data[1] else None
    if found is None:
        return 0
    ending = b"</%s>" % found[1]
    start = found.end()
    end = data.find(ending, start)
    if end < 0 or _CLOSING.fullmatch(data, end + len(ending)) is None or b"CentralSystemService" in data[start:end]:
        return 0
    for mark in _MARKS:
        if data.find(mark, start, end) >= 0:
            return 0
    return begin


def is_secret(key: str) -> bool:
    """Whether a configuration key of this name holds a credential."""
    return _has_secret(key.lower().encode("utf-8", "replace"))


def without_password(text: str) -> str:
    """`text` without the passwords and tokens of the addresses in it."""
    if "@" not in text and "centralsystemservice" not in text.lower():
        return text
    return _without_secrets_of_addresses(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _without_secrets_of_addresses(
    data: bytes, password: re.Pattern[bytes] = _URL_PASSWORD, lower: bytes | None = None
) -> bytes:
    """`lower`: the same in lower case, if it is at hand."""
    tokens = b"/" in data and b"centralsystemservice" in (data.lower() if lower is None else lower)
    if b"@" in data:
        data = password.sub(rb"\1***@", data)
    return _SERVICE_TOKEN.sub(_veiled, data) if tokens else data


def _veiled(found: re.Match[bytes]) -> bytes:
    """What may be a token has a digit."""
    return found[1] + MASK.encode() if any(48 <= octet <= 57 for octet in found[2]) else found[0]


def names_credential(data: bytes) -> bool:
    """Whether JSON that nobody has opened may hold a credential that cannot be cut out of it as it is written."""
    plain = data
    if b"\\" in data:
        with suppress(*_BROKEN):
            plain = _encoder.encode(_decoder.decode(data))
    return _has_secret(plain.lower()) or _has_secret(data.lower()) or _passwords(plain) > _passwords(data)


def _has_secret(lower: bytes) -> bool:
    """The configuration keys that hold a credential: AuthorizationKey (OCPP-J 1.6, 6.2.2; white paper A01.FR.09), and
    what vendors call theirs."""
    # Written out, because it is asked of every message; and CPython finds "ecret" in half the time of "secret".
    passes = b"pass" in lower and (b"passw" in lower or b"passphrase" in lower)
    return passes or b"ecret" in lower or b"authorizationkey" in lower


def _passwords(data: bytes) -> int:
    return len(_URL_PASSWORD.findall(data))


def _of_two_octets(data: bytes, id_tags: bool) -> bytes:
    """UTF-16, which XML may be written in."""
    encoding = "utf-16-be" if data[:1] in (b"\0", b"\xfe") else "utf-16-le"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return MASK.encode()
    if text.lstrip("\ufeff \t\r\n")[:1] != "<":
        return MASK.encode()
    return _xml(text.encode(), id_tags).decode().encode(encoding)


# JSON.


def _json(data: bytes, id_tags: bool) -> bytes:
    lower = data.lower()
    tagged = id_tags and b"idtag" in lower
    if (b"\\" in data and b"\\u" in data) or _has_secret(lower) or (tagged and _DEEP_MEMBER.search(data)):
        return _json_taken_apart(data, id_tags)
    return _json_patched(data, tagged)


def _json_patched(data: bytes, tagged: bool) -> bytes:
    """By patterns, all else byte for byte."""
    data = _without_secrets_of_addresses(data)
    return _without_members(data) if tagged else data


def _without_members(data: bytes) -> bytes:
    data = _MEMBER.sub(rb'\1"***"', data)
    if b'\\"' in data:
        data = _INNER_MEMBER.sub(rb"\1***", data)
    return _elements(data, _ID_TAG, _mask) if b"<" in data else data


def _json_taken_apart(data: bytes, id_tags: bool) -> bytes:
    """By its structure, where patterns might be deceived. What has nothing to mask stays as it is."""
    try:
        plain = _decoder.decode(data)
    except _BROKEN:
        return HIDDEN.encode()
    if isinstance(plain, list) and any(isinstance(part, str) and is_secret(part) for part in plain):
        return HIDDEN.encode()  # a frame that is none, or words about a credential
    cleaned = _cleaned(plain, id_tags)
    if cleaned == plain:
        return data
    patched = _json_patched(data, id_tags)
    return patched if cleaned == _decoder.decode(patched) else _encoder.encode(cleaned)


def _cleaned(value: Any, id_tags: bool) -> Any:
    if isinstance(value, dict):
        return _cleaned_object(value, id_tags)
    if isinstance(value, list):
        return [_cleaned(inner, id_tags) for inner in value]
    return _cleaned_text(value, id_tags) if isinstance(value, str) else value


def _cleaned_object(members: Mapping[str, Any], id_tags: bool) -> dict[str, Any]:
    key = members.get("key")
    setting = key is not None and is_secret(key if isinstance(key, str) else repr(key))

    def hidden(name: str) -> bool:
        return (setting and name == "value") or is_secret(name) or (id_tags and name.lower() in _ID_TAGS)

    return {name: MASK if hidden(name) else _cleaned(value, id_tags) for name, value in members.items()}


def _cleaned_text(text: str, id_tags: bool) -> str:
    """A text may be JSON or XML itself: what vendors put into DataTransfer."""
    if text.lstrip()[:1] in ("{", "[", "<"):
        return masked(text.encode("utf-8", "replace"), id_tags=id_tags).decode("utf-8", "replace")
    return without_password(text)


# XML.


def _xml(data: bytes, id_tags: bool) -> bytes:
    lower = data.lower()
    if (
        b"&" in data
        and b"&#" in data
        and _hidden_in(unescape(data.decode("utf-8", "replace")).encode()) > _hidden_in(data)
    ):
        return f"<hidden>{HIDDEN}</hidden>".encode()
    data = _without_secrets_of_addresses(data, _URL_PASSWORD_IN_XML, lower)
    # What is called To behind the Header is no address of the envelope.
    header = data[: data.find(b"Body")] if b"Body" in data else data
    if b":To" in header or b"<To" in header:
        data = _elements(data, _TO, _address)
    if b"security" in lower or _has_secret(lower):
        data = _elements(_elements(data, _ELEMENT, _mask, _is_credential), _SETTING, _setting)
    if id_tags and b"idtag" in lower:
        data = _ID_TAG_ATTRIBUTE.sub(rb'\1"***"', _without_members(data))
        data = _ENTITY_MEMBER.sub(rb"\1***", data)
    return data


def _hidden_in(data: bytes) -> int:
    """How many secrets of addresses there are."""
    return _passwords(data) + len(_SERVICE_TOKEN.findall(data))


def _address(content: bytes) -> bytes:
    """Where an envelope was sent: only behind the host is there a token."""
    scheme, separator, rest = content.rpartition(b"://")
    host, slash, path = rest.partition(b"/")
    return scheme + separator + host + slash + _PATH_TOKEN.sub(_veiled, path)


def _is_credential(name: bytes) -> bool:
    """WS-Security, whole; and elements that are called like a credential."""
    local = name.rpartition(b":")[2].lower()
    return local == b"security" or _has_secret(local)


def _elements(
    data: bytes,
    start: re.Pattern[bytes],
    edit: Callable[[bytes], bytes],
    wanted: Callable[[bytes], bool] | None = None,
) -> bytes:
    """`data` with the content of each element that `start` finds, and whose name is `wanted`, edited.

    Content goes to the next end tag of the name; without one, to the end of all.
    """
    parts, done = [], 0
    while (tag := start.search(data, done)) is not None:
        parts.append(data[done : tag.end()])
        done = tag.end()
        if data[done - 2] != ord("/") and (wanted is None or wanted(tag[1])):
            end = data.find(b"</" + tag[1], done)
            end = len(data) if end < 0 else end
            parts.append(edit(data[done:end]))
            done = end
    return b"".join([*parts, data[done:]])


def _mask(content: bytes) -> bytes:
    return MASK.encode() if content.strip() else content


def _setting(content: bytes) -> bytes:
    """A configuration key with its value."""
    key = _KEY.search(content)
    return _elements(content, _VALUE, _mask) if key and _has_secret(key[1].lower()) else content
