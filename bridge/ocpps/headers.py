"""The checks of a strict route on the headers of a message, by SOAP 1.2 and WS-Addressing.

A tolerant route makes none of these checks (quirks 1 to 14).

The Action of a message is its wsa:Action (WS-Addressing 1.0 Core section 3.1: every message has one). The `action` of a
content type is a different thing (SOAP 1.2 part 2, section 6.5). By the WS-Addressing SOAP Binding, section 3, it may
repeat the wsa:Action and never replaces it. So the checks ignore the `action` of the content type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lxml import etree

from bridge.ocpps.envelope import WSA, Envelope, EnvelopeCode, EnvelopeFault, SoapVersion, anonymous
from bridge.ocpps.xml import children, local_name, namespace, text_of

_ADDRESSING = frozenset({"MessageID", "RelatesTo", "Action", "From", "ReplyTo", "To", "FaultTo"})
# Each of these headers stands once at most (WS-Addressing 1.0 SOAP Binding section 6.4.1.3).
_ONCE = _ADDRESSING - {"RelatesTo"}
# The roles of the last receiver of a message (SOAP 1.2 part 1, 2.2). A header without a role, "", is for it as well.
_ROLES = frozenset(
    {
        "",
        "http://www.w3.org/2003/05/soap-envelope/role/next",
        "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
    }
)
_TRUE = frozenset({"true", "1"})


def check_request(opened: Envelope, action: str, service_namespace: str) -> None:
    """Check the headers of a request.

    Args:
        opened: The envelope of a request, in SOAP 1.2.
        action: The Action of its operation, as the WSDL has it.
        service_namespace: The namespace of the called service.

    Raises:
        EnvelopeFault: A header is at fault. The error names the first such header and the reason.
    """
    said = _check(opened, service_namespace)
    if not any(local_name(header) == "MessageID" and text_of(header).strip() for header in said):
        raise _fault(EnvelopeCode.MessageAddressingHeaderRequired, "a request needs a MessageID", "MessageID")
    _check_action(said, {action})


def check_answer(opened: Envelope, actions: Collection[str], service_namespace: str) -> None:
    """Check the headers of an answer.

    An answer needs no MessageID, since an answer is never answered (WS-Addressing 1.0 Core section 3.4). The Action of
    a Fault is not checked.

    Args:
        opened: The envelope of an answer.
        actions: The Actions that the answer may have.
        service_namespace: The namespace of the called service.

    Raises:
        EnvelopeFault: A header is at fault. The error names the first such header and the reason.
    """
    if opened.soap is not SoapVersion.V12:
        text = f"an answer in {opened.soap.namespace!r}: SOAP 1.2 is spoken (refused: strict)"
        raise EnvelopeFault(EnvelopeCode.VersionMismatch, text)
    said = _check(opened, service_namespace)
    if local_name(opened.body) != "Fault":
        _check_action(said, actions)


def _check(opened: Envelope, service_namespace: str) -> list[etree._Element]:
    """Check what requests and answers have in common. Return the WS-Addressing headers. Raises EnvelopeFault."""
    headers = list(_headers(opened))
    _check_understood(headers, opened.soap.namespace, service_namespace)
    said = [header for header in headers if namespace(header) == WSA]
    names = [local_name(header) for header in said]
    for name in _ONCE:
        if names.count(name) > 1:
            raise _fault(EnvelopeCode.InvalidCardinality, f"more than one {name}", name)
    for header in said:
        if local_name(header) in ("ReplyTo", "FaultTo"):
            _check_anonymous(header)
    return said


def _check_action(said: list[etree._Element], actions: Collection[str]) -> None:
    """Raise EnvelopeFault unless the Action is one of `actions`. OCPP-S 1.6 section 3.4 requires it, in answers too."""
    found = next((text_of(header).strip() for header in said if local_name(header) == "Action"), "")
    if not found:
        raise _fault(EnvelopeCode.MessageAddressingHeaderRequired, "a message needs an Action", "Action")
    if found not in actions:
        text = f"the Action is {found[:100]!r}, that of the message is {min(actions)!r}"
        raise _fault(EnvelopeCode.ActionNotSupported, text, "Action")


def _headers(opened: Envelope) -> Iterator[etree._Element]:
    root = opened.body.getroottree().getroot()
    for part in children(root):
        if local_name(part) == "Header":
            yield from children(part)


def _check_understood(headers: list[etree._Element], soap: str, service_namespace: str) -> None:
    """Raise EnvelopeFault with the headers that must be understood and are not (SOAP 1.2 part 1, 5.4.8)."""
    not_understood = [
        header
        for header in headers
        if header.get(f"{{{soap}}}mustUnderstand", "").strip() in _TRUE
        and header.get(f"{{{soap}}}role", "").strip() in _ROLES
        and not _is_known(header, service_namespace)
    ]
    if not_understood:
        names = [(namespace(header), local_name(header)) for header in not_understood]
        said = ", ".join(f"{{{space}}}{name}" for space, name in names)[:300]
        text = f"{said} must be understood, and is not (SOAP 1.2 part 1, section 5.4.8; refused: strict)"
        raise EnvelopeFault(EnvelopeCode.MustUnderstand, text, names)


def _is_known(header: etree._Element, service_namespace: str) -> bool:
    if namespace(header) == WSA:
        return local_name(header) in _ADDRESSING
    # OCPP-S 1.6 section 3.3: the name is compared without regard to letter case.
    return namespace(header) == service_namespace and local_name(header).lower() == "chargeboxidentity"


def _check_anonymous(endpoint: etree._Element) -> None:
    """Raise EnvelopeFault unless the endpoint has the anonymous address, as OCPP-S 1.6 section 3.8 demands."""
    name = local_name(endpoint)
    address = endpoint.find(f"{{{WSA}}}Address")
    if address is None:
        raise _fault(EnvelopeCode.MissingAddressInEPR, f"the {name} has no Address", name)
    if text_of(address).strip() != anonymous(WSA):
        text = f"the {name} is {text_of(address).strip()[:100]!r}; answers come on the same connection only"
        raise _fault(EnvelopeCode.OnlyAnonymousAddressSupported, text, name)


def _fault(code: EnvelopeCode, text: str, header: str) -> EnvelopeFault:
    return EnvelopeFault(
        code, f"{text} (WS-Addressing 1.0 SOAP Binding, section 6.4; refused: strict)", [(WSA, header)]
    )
