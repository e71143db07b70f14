"""Masking of messages before they are shown or stored: credentials always, the idTags of drivers if configured.

This module is pure. A message need not be well-formed, nor be of OCPP. All other octets stay as they are, and a
well-formed message stays well-formed. If escapes hide a value from the patterns, the message is parsed, or masked as a
whole. Every pattern takes linear time, so that no message makes this slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from html import unescape
from typing import Any

import msgspec

from bridge.access.paths import LEAST_TOKEN, PART_OF_TOKEN
from bridge.ocpp import slices

MASK = "***"
HIDDEN = "*** (it names a credential)"

# ftp://user:password@host (OCPP 1.6 edition 2, section 8). JSON may have a backslash before each slash.
_URL_PASSWORD = re.compile(rb"(:(?:\\?/){2}[^/@:\s\"]*:)[^/\s\"]*@")
_URL_PASSWORD_IN_XML = re.compile(rb"(://[^/@:\s\"<]*:)[^/\s\"<]*@")
# The token in the address of the bridge's own service (wsa:To), or a part of a token. The identity may come after the
# token, or in its place. A proxy may have another path before the token: there, every segment that may be a whole token
# is masked.
_SEGMENT = rb"[\w.~%&;#-]"
_SERVICE_TOKEN = re.compile(
    rb"(CentralSystemService(?:\\?/)++(?:1\.[256](?:\\?/)++)?)(" + _SEGMENT + rb"{%d,}+)" % PART_OF_TOKEN, re.I
)
_SERVICE = b"centralsystemservice"
_TO = re.compile(rb"<((?:[\w.-]++:)?To)(?:\s[^<>]*+)?>", re.I)
_PATH_TOKEN = re.compile(rb"((?<![^/]))(" + _SEGMENT + rb"{%d,}+)" % LEAST_TOKEN)
_ID_TAGS = frozenset({"idtag", "parentidtag"})

# A name and its value in a plain text, such as vendors put into DataTransfer: `AuthorizationKey=s3cret;idTag=04A2`. In
# XML a colon does not separate the two: it ends the prefix of an element's name.
_PLAIN_VALUE = (
    rb"""([\w.-]{0,64}+[ \t]{0,8}+%b[ \t]{0,8}+(?:\\++["']|["'](?![\s,:}\]])|&quot;|&apos;)?+)"""
    rb"""(?:[^\s;,&|"'<>\\]|&(?!quot|apos)\w{1,8};)++"""
)
_SECRET_PAIR, _SECRET_PAIR_IN_XML, _ID_TAG_PAIR, _ID_TAG_PAIR_IN_XML = (
    re.compile(rb"(" + name + rb")" + _PLAIN_VALUE % between, re.I)
    for name in (rb"authorizationkey|passw|passphrase|secret", rb"idtag")
    for between in (rb"[=:]", rb"=")
)

# JSON: the value of a member. In a string that contains JSON (DataTransfer), quotes have backslashes before them, or
# are entities if the string is in XML.
_MEMBER = re.compile(rb'("(?:parent)?idtag"\s*+:\s*+)("(?:[^"\\]|\\.)*+"?|[^\s,{}\[\]"<]++)', re.I | re.S)
_INNER_MEMBER = re.compile(rb'(\\+"(?:parent)?idtag\\+"\s*+:\s*+\\+")[^"\\]*+', re.I)
_ENTITY_MEMBER = re.compile(rb"(&quot;(?:parent)?idtag&quot;\s*+:\s*+&quot;)[^&<]*+", re.I)
_DEEP_MEMBER = re.compile(rb'"(?:parent)?idtag"\s*+:\s*+[\[{]', re.I)
# XML: start tags, with the local name. OCPP has no attributes of these names, but vendors may.
_ID_TAG = re.compile(rb"<((?:[\w.-]++:)?(?:parent)?idtag)(?:\s[^<>]*+)?>", re.I)
_ID_TAG_ATTRIBUTE = re.compile(rb"""(\s(?:[\w.-]++:)?(?:parent)?idtag\s*+=\s*+)(?:"[^"<]*+"|'[^'<]*+')""", re.I)
_ELEMENT = re.compile(rb"<([\w.:-]++)(?:\s[^<>]*+)?>")
_SETTING = re.compile(rb"<((?:[\w.-]++:)?(?:configurationKey|changeConfigurationRequest))(?:\s[^<>]*+)?>", re.I)
_KEY = re.compile(rb"<(?:[\w.-]++:)?key(?:\s[^<>]*+)?>([^<]*+)<", re.I)
_VALUE = re.compile(rb"<((?:[\w.-]++:)?value)(?:\s[^<>]*+)?>", re.I)
# A Body whose only element is a request or an answer: its start tags, and its end tags with the end of the envelope.
_XMLNS = rb"(?:\s++xmlns(?::[\w.-]++)?=\"[^\"<>]*+\")*+\s*+>"
_OPENING = re.compile(rb"<(?:[\w.-]++:)?Body" + _XMLNS + rb"\s*+<((?:[\w.-]++:)?[\w.-]++)" + _XMLNS)
_CLOSING = re.compile(rb"\s*+</[^<>]++>\s*+</[^<>]++>\s*+")
# XML without these octets has elements only: no attributes, comments, CDATA, entities, nor passwords in addresses.
_MARKS = (b"=", b"!", b"?", b"&", b"@")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError, ArithmeticError)


def masked(data: bytes, *, id_tags: bool, harmless: bool = False) -> bytes:
    """Return an envelope or a frame without credentials.

    Args:
        data: The octets of the envelope or frame.
        id_tags: Whether to mask idTags as well.
        harmless: Whether the bridge wrote it, for an action without fields for idTags and credentials. Then only the
            secrets in addresses are masked.
    """
    if harmless:
        return _without_secrets_of_addresses(data)
    if b"\0" in data[:8]:
        return _of_two_octets(data, id_tags)
    return _xml(data, id_tags) if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else _json(data, id_tags)


def masked_around(data: bytes, *, id_tags: bool) -> bytes:
    """Return the same as `masked`, faster, for an envelope that was read without a Loss.

    Its action must not have a field for an idTag or a credential. All names in its Body are known, so only the octets
    before the Body are searched.
    """
    body = _harmless_body(data)
    return _xml(data[:body], id_tags) + data[body:] if body else masked(data, id_tags=id_tags)


def _harmless_body(data: bytes) -> int:
    """Return the offset of the Body, or 0 if the Body or the octets after it may have unknown content."""
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
    """Return whether a configuration key of this name holds a credential."""
    return _has_secret(key.lower().encode("utf-8", "replace"))


def without_password(text: str) -> str:
    """Return `text` without the passwords and tokens of the addresses in it."""
    if "@" not in text and "centralsystemservice" not in text.lower():
        return text
    return _without_secrets_of_addresses(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _without_secrets_of_addresses(
    data: bytes, password: re.Pattern[bytes] = _URL_PASSWORD, lower: bytes | None = None
) -> bytes:
    """Return `data` without the passwords and tokens of addresses. `lower` is `data` in lower case, if known."""
    lower = data.lower() if lower is None and b"/" in data else lower or b""
    tokens = _SERVICE in lower
    if b"@" in data:
        data = password.sub(rb"\1***@", data)
        lower = data.lower() if tokens else lower
    return _without_tokens(data, lower) if tokens else data


def _without_tokens(data: bytes, lower: bytes) -> bytes:
    """Return `data` without the tokens of the bridge's own service. `lower` is `data` in lower case.

    The name is looked up before the pattern is tried, which would be slow where the name is not.
    """
    parts, done = [], 0
    while (at := lower.find(_SERVICE, done)) >= 0:
        found = _SERVICE_TOKEN.match(data, at)
        end = at + len(_SERVICE) if found is None else found.end()
        parts += [data[done:at], data[at:end] if found is None else _veiled(found)]
        done = end
    return b"".join([*parts, data[done:]])


def _veiled(found: re.Match[bytes]) -> bytes:
    """Return the mask for a segment that may be a token, that is, has a digit; the segment itself otherwise."""
    return found[1] + MASK.encode() if any(48 <= octet <= 57 for octet in found[2]) else found[0]


def names_credential(data: bytes) -> bool:
    """Return whether unread JSON may hold a credential that the patterns cannot mask in its present spelling."""
    plain = data
    if b"\\" in data:
        with suppress(*_BROKEN):
            plain = _encoder.encode(_decoder.decode(data))
    return _has_secret(plain.lower()) or _has_secret(data.lower()) or _passwords(plain) > _passwords(data)


def _has_secret(lower: bytes) -> bool:
    """Return whether a text in lower case has the name of a configuration key that holds a credential.

    The names are AuthorizationKey (OCPP-J 1.6, 6.2.2; white paper A01.FR.09), and those that vendors use.
    """
    # No loop, because this runs for every message. CPython finds "ecret" in half the time of "secret".
    passes = b"pass" in lower and (b"passw" in lower or b"passphrase" in lower)
    return passes or b"ecret" in lower or b"authorizationkey" in lower


def _passwords(data: bytes) -> int:
    return len(_URL_PASSWORD.findall(data)) if b"@" in data else 0


def _of_two_octets(data: bytes, id_tags: bool) -> bytes:
    """Mask XML in UTF-16. Any other data with such octets is masked as a whole."""
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
    return _json_patched(data, tagged, secret=False)


def _json_patched(data: bytes, tagged: bool, *, secret: bool = True) -> bytes:
    """Mask JSON by patterns; all other octets stay. `secret` says whether `data` may name a credential."""
    data = _without_secrets_of_addresses(data)
    # A pattern takes ten times as long as a search for the words in it.
    lower = data.lower() if secret or tagged else b""
    if secret and _has_secret(lower):
        data = _SECRET_PAIR.sub(rb"\1\2***", data)
    return _ID_TAG_PAIR.sub(rb"\1\2***", _without_members(data)) if tagged and b"idtag" in lower else data


def _without_members(data: bytes) -> bytes:
    data = _MEMBER.sub(rb'\1"***"', data)
    if b'\\"' in data:
        data = _INNER_MEMBER.sub(rb"\1***", data)
    return _elements(data, _ID_TAG, _mask) if b"<" in data else data


def _json_taken_apart(data: bytes, id_tags: bool) -> bytes:
    """Mask JSON by its structure, because patterns might miss values. JSON without secrets stays as it is."""
    try:
        plain = slices.plain(data, _decoder.decode)
    except _BROKEN:
        return HIDDEN.encode()
    if isinstance(plain, list) and any(isinstance(part, str) and is_secret(part) for part in plain):
        return HIDDEN.encode()  # not a valid frame, or a text about a credential
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
    key = next((value for name, value in members.items() if name.lower() == "key"), None)
    setting = key is not None and is_secret(key if isinstance(key, str) else repr(key))

    def hidden(name: str) -> bool:
        return (setting and name.lower() == "value") or is_secret(name) or (id_tags and name.lower() in _ID_TAGS)

    return {name: MASK if hidden(name) else _cleaned(value, id_tags) for name, value in members.items()}


def _cleaned_text(text: str, id_tags: bool) -> str:
    """Mask a string, which may contain JSON or XML itself, as vendors put into DataTransfer."""
    if text.lstrip()[:1] in ("{", "[", "<"):
        return masked(text.encode("utf-8", "replace"), id_tags=id_tags).decode("utf-8", "replace")
    return _json_patched(text.encode("utf-8", "surrogatepass"), id_tags).decode("utf-8", "surrogatepass")


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
    # An element named To after the Header is not the address of the envelope.
    header = data[: data.find(b"Body")] if b"Body" in data else data
    if b":To" in header or b"<To" in header:
        data = _elements(data, _TO, _address)
    if b"security" in lower or _has_secret(lower):
        data = _elements(_elements(data, _ELEMENT, _mask, _is_credential), _SETTING, _setting)
        data = _SECRET_PAIR_IN_XML.sub(rb"\1\2***", data)
    if id_tags and b"idtag" in lower:
        data = _ID_TAG_ATTRIBUTE.sub(rb'\1"***"', _without_members(data))
        data = _ENTITY_MEMBER.sub(rb"\1***", data)
        data = _ID_TAG_PAIR_IN_XML.sub(rb"\1\2***", data)
    return data


def _hidden_in(data: bytes) -> int:
    """Return the number of secrets in addresses."""
    return _passwords(data) + (len(_SERVICE_TOKEN.findall(data)) if _SERVICE in data.lower() else 0)


def _address(content: bytes) -> bytes:
    """Mask the token in the address that an envelope was sent to, which is in the path."""
    scheme, separator, rest = content.rpartition(b"://")
    host, slash, path = rest.partition(b"/")
    return scheme + separator + host + slash + _PATH_TOKEN.sub(_veiled, path)


def _is_credential(name: bytes) -> bool:
    """Return whether the content of an element is masked: WS-Security, and elements named like a credential."""
    local = name.rpartition(b":")[2].lower()
    return local == b"security" or _has_secret(local)


def _elements(
    data: bytes,
    start: re.Pattern[bytes],
    edit: Callable[[bytes], bytes],
    wanted: Callable[[bytes], bool] | None = None,
) -> bytes:
    """Return `data` with the content of some elements edited.

    The content of an element ends at the next end tag of its name, or at the end of `data` if there is none.

    Args:
        data: XML.
        start: The pattern of the start tags, with the name as its first group.
        edit: Returns the new content for the old.
        wanted: Returns whether the element with a name is edited; None edits all.
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
    """Mask the value in the content of a setting, if its key holds a credential."""
    key = _KEY.search(content)
    return _elements(content, _VALUE, _mask) if key and _has_secret(key[1].lower()) else content
