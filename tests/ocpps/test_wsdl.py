"""Our WSDLs say what the official ones say; the loader reads both, and refuses what it does not understand."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import zeep
from lxml import etree

import bridge
from bridge.errors import ConfigurationError
from bridge.ocpps import wsdl
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType
from tests.reference import OFFICIAL_WSDL, needs_reference

# Folder and service, and how many operations it has.
SERVICES = {
    ("ocpp16", "CentralSystemService"): 10,
    ("ocpp16", "ChargePointService"): 19,
    ("ocpp15", "CentralSystemService"): 10,
    ("ocpp15", "ChargePointService"): 15,
    ("ocpp12", "CentralSystemService"): 9,
    ("ocpp12", "ChargePointService"): 9,
}
EVERY = wsdl.default_folder()
OURS = EVERY / "ocpp16"

each_service = pytest.mark.parametrize(("version", "service"), SERVICES, ids="-".join)

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP = "{http://schemas.xmlsoap.org/wsdl/soap12/}"
XSD = "{http://www.w3.org/2001/XMLSchema}"

# --- Reading a WSDL without the loader: the whole document as one value that two layouts of one service share ---

QNAMES = {"type", "base", "ref", "element", "message", "binding"}
UNORDERED = {f"{WSDL}definitions", f"{XSD}schema", f"{WSDL}portType", f"{WSDL}binding"}
FOR_PEOPLE = {f"{XSD}annotation", f"{WSDL}documentation"}

Canonical = tuple[str, str, tuple[tuple[str, str], ...], tuple["Canonical", ...]]


def canonical(element: etree._Element) -> Canonical:
    """Tag, text, attributes with prefixes resolved and defaults filled in, children in an order of their own."""
    attributes = {str(name): resolve(element, str(name), str(value)) for name, value in element.attrib.items()}
    children = [canonical(child) for child in element.iterchildren("*") if child.tag not in FOR_PEOPLE]
    if element.tag in UNORDERED:
        children.sort()
    return (
        str(element.tag),
        (element.text or "").strip(),
        tuple(sorted((defaults(element) | attributes).items())),
        tuple(children),
    )


def resolve(element: etree._Element, name: str, value: str) -> str:
    if name not in QNAMES:
        return value
    prefix, colon, local = value.rpartition(":")
    return f"{{{element.nsmap[prefix] if colon else element.nsmap[None]}}}{local}"


def defaults(element: etree._Element) -> dict[str, str]:
    parent = element.getparent()
    if element.tag == f"{XSD}element" and parent is not None and parent.tag == f"{XSD}sequence":
        return {"minOccurs": "1", "maxOccurs": "1"}
    return {"style": "document"} if element.tag == f"{SOAP}binding" else {}


def read(source: bytes) -> Canonical:
    return canonical(etree.fromstring(source))


@needs_reference
@each_service
def test_ours_describes_the_official_service(version: str, service: str) -> None:
    path = Path(version, f"{service}.wsdl")
    assert read((EVERY / path).read_bytes()) == read((OFFICIAL_WSDL / path).read_bytes())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('maxOccurs="unbounded"', 'maxOccurs="2"'),
        (' minOccurs="0"', ""),
        ('maxLength value="25"', 'maxLength value="26"'),
        ('<xs:enumeration value="Blocked"/>', ""),
        ('value="L1-N"', 'value="L1N"'),
        ('element name="idTag" type="cs:IdToken"', 'element name="idTag" type="xs:string"'),
        ('wsaw:Action="/AuthorizeResponse"', 'wsaw:Action="/Authorize"'),
        ('soapAction="/Heartbeat"', 'soapAction=""'),
        ('part="ChargeBoxIdentity" use="literal"', 'part="ChargeBoxIdentity" use="encoded"'),
        ('style="document" transport', 'style="rpc" transport'),
        ("<wsaw:UsingAddressing/>", ""),
        ('<wsp:PolicyReference URI="#ServicePolicy"/>', ""),
        ('port name="CentralSystemServiceSoap12"', 'port name="CentralSystemServiceSoap"'),
    ],
)
def test_the_comparison_sees_every_kind_of_difference(old: str, new: str) -> None:
    source = (OURS / "CentralSystemService.wsdl").read_text()
    assert old in source
    assert read(source.replace(old, new, 1).encode()) != read(source.encode())


def test_the_comparison_sees_order() -> None:
    source = (OURS / "CentralSystemService.wsdl").read_text()
    for line in ('<xs:enumeration value="Blocked"/>', '<xs:element name="chargePointModel" type="cs:CiString20Type"/>'):
        before, after = source.split(line, 1)
        following, rest = after.lstrip().split("\n", 1)
        assert read(f"{before}{following}{line}{rest}".encode()) != read(source.encode())


def test_the_comparison_sees_an_attribute_and_an_answer_without_an_action() -> None:
    source = (EVERY / "ocpp15" / "CentralSystemService.wsdl").read_text()
    for old, new in (
        ('attribute name="unit" type="cs:UnitOfMeasure"', 'attribute name="unit" type="xs:string"'),
        ('<xs:attribute name="location" type="cs:Location" use="optional"/>', ""),
        (' wsaw:Action="/HeartbeatResponse"', ""),
    ):
        assert old in source
        assert read(source.replace(old, new, 1).encode()) != read(source.encode())


@each_service
def test_ours_copies_no_wording_and_no_tab(version: str, service: str) -> None:
    source = (EVERY / version / f"{service}.wsdl").read_text()
    assert "\t" not in source
    assert "SPDX-License-Identifier: Apache-2.0" in source
    assert not [*etree.fromstring(source.encode()).iter(*FOR_PEOPLE)]


# --- The loader ---


@needs_reference
@each_service
def test_ours_and_the_official_one_load_to_the_same_service(version: str, service: str) -> None:
    ours, official = (wsdl.load(folder / version / f"{service}.wsdl") for folder in (EVERY, OFFICIAL_WSDL))
    assert ours == official
    assert ours.source != official.source


@each_service
def test_a_service(version: str, service: str) -> None:
    loaded = wsdl.load(EVERY / version / f"{service}.wsdl")
    assert (loaded.name, loaded.port) == (service, f"{service}Soap12")
    assert len(loaded.operations) == SERVICES[version, service]
    assert isinstance(loaded.schema(), etree.XMLSchema)
    for operation in loaded.operations.values():
        first = operation.name[0].lower() + operation.name[1:]
        assert (operation.request.name, operation.response.name) == (f"{first}Request", f"{first}Response")
        assert operation.request.type.name == f"{operation.name}Request"
        assert operation.response.type.name == f"{operation.name}Response"
        assert operation.soap_action == operation.request_action == f"/{operation.name}"
        assert operation.response_action == f"/{operation.name}Response"
        assert operation.headers == ("chargeBoxIdentity",)


def test_types() -> None:
    operations = wsdl.load(OURS / "CentralSystemService.wsdl").operations
    token = SimpleType(name="IdToken", base="string", max_length=20)
    assert operations["Authorize"].request == Element(
        name="authorizeRequest",
        type=ComplexType(name="AuthorizeRequest", elements=(Element("idTag", token, 1, 1),)),
        min_occurs=1,
        max_occurs=1,
    )
    assert operations["Heartbeat"].request.type == ComplexType(name="HeartbeatRequest")
    status = field(operations["Authorize"].response, "idTagInfo", "status").type
    assert status == SimpleType(
        "AuthorizationStatus", "string", enumeration=("Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx")
    )
    assert field(operations["MeterValues"].request, "meterValue").is_list
    assert not field(operations["MeterValues"].request, "connectorId").is_list
    assert field(operations["MeterValues"].request, "connectorId").type == SimpleType("int", "int")

    commands = wsdl.load(OURS / "ChargePointService.wsdl").operations
    limit = ("csChargingProfiles", "chargingSchedule", "chargingSchedulePeriod", "limit")
    assert field(commands["SetChargingProfile"].request, *limit).type == SimpleType(
        "DecimalOne", "decimal", fraction_digits=1
    )


def field(element: Element, *path: str) -> Element:
    """The element found by going down through `path`."""
    for name in path:
        assert isinstance(element.type, ComplexType)
        (element,) = (child for child in element.type.elements if child.name == name)
    return element


def test_a_text_with_attributes() -> None:
    service = wsdl.load(EVERY / "ocpp15" / "CentralSystemService.wsdl")
    value = field(service.operations["MeterValues"].request, "values", "value")
    assert value.is_list
    assert isinstance(value.type, ComplexType)
    assert value.type.text == SimpleType("string", "string")
    assert [attribute.name for attribute in value.type.attributes] == [
        "context",
        "format",
        "measurand",
        "location",
        "unit",
    ]
    assert all(not attribute.required and attribute.default is None for attribute in value.type.attributes)
    assert "Volt" in value.type.attributes[-1].type.enumeration


# --- What is made of a loaded service ---


@each_service
def test_zeep_reads_ours(version: str, service: str) -> None:
    path = EVERY / version / f"{service}.wsdl"
    client = zeep.Client(str(path))  # type: ignore[no-untyped-call]
    binding = client.wsdl.services[service].ports[f"{service}Soap12"].binding
    assert {*binding.all()} == {*wsdl.load(path).operations}


def test_describe_puts_the_address_in(tmp_path: Path) -> None:
    service = wsdl.load(OURS / "ChargePointService.wsdl")
    address = "https://gateway.example:8443/services/ChargePointService/RDAM%20123?a=1&b=<2>"
    described = tmp_path / "described.wsdl"
    described.write_bytes(service.describe(address))
    assert described.read_bytes().startswith(b"<?xml")
    assert [element.get("location") for element in etree.parse(described).iter(f"{SOAP}address")] == [address]
    assert wsdl.load(described) == service


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ("<authorizeRequest xmlns='{0}'><idTag>04A2B3</idTag></authorizeRequest>", True),
        ("<authorizeRequest xmlns='{0}'><idTag>123456789012345678901</idTag></authorizeRequest>", False),
        ("<authorizeRequest xmlns='{0}'/>", False),
        ("<authorizeRequest><idTag>04A2B3</idTag></authorizeRequest>", False),
        ("<a:authorizeRequest xmlns:a='{0}'><idTag>04A2B3</idTag></a:authorizeRequest>", False),
        ("<heartbeatRequest xmlns='{0}'/>", True),
        ("<heartbeatResponse xmlns='{0}'><currentTime>2024-02-29T12:00:00Z</currentTime></heartbeatResponse>", True),
        ("<heartbeatResponse xmlns='{0}'><currentTime>yesterday</currentTime></heartbeatResponse>", False),
        ("<noSuchRequest xmlns='{0}'/>", False),
    ],
)
def test_schema_validates_a_body(body: str, accepted: bool) -> None:
    service = wsdl.load(OURS / "CentralSystemService.wsdl")
    assert service.schema().validate(etree.fromstring(body.format(service.namespace))) is accepted


# --- What cannot be used ---


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.wsdl: No such file"):
        wsdl.load(tmp_path / "absent.wsdl")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "cannot be read as XML"),
        (b"<definitions", "cannot be read as XML"),
        (b"\xff\xfe\x00", "cannot be read as XML"),
        (b"<html/>", "is not a WSDL: its root is html"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "has a DOCTYPE"),
        (b"<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>", "definitions has no targetNamespace"),
    ],
)
def test_a_file_that_is_not_a_wsdl(tmp_path: Path, source: bytes, says: str) -> None:
    path = tmp_path / "broken.wsdl"
    path.write_bytes(source)
    with pytest.raises(ConfigurationError, match=says) as caught:
        wsdl.load(path)
    assert [complaint.source for complaint in caught.value.complaints] == [str(path)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<types>", "<types><xs:schema/>", "types: needs exactly one schema, found 2"),
        ('elementFormDefault="qualified"', "", "elements are not qualified"),
        ('schema targetNamespace="urn:', 'schema targetNamespace="urm:', "not that of the service"),
        ('type="cs:IdToken"', 'type="cs:IdTokn"', "IdTagInfo.parentIdTag: there is no type IdTokn"),
        ('type="cs:IdToken"', 'type="xx:IdToken"', "the prefix xx is not declared"),
        ('type="xs:int"', 'type="xs:integer"', "the type integer is not supported"),
        ('type="cs:Phase"', 'type="cs:MeterValue"', "MeterValue: contains itself"),
        ("<xs:maxLength value", "<xs:minLength value", "CiString20Type: minLength is not supported"),
        ('maxLength value="20"', 'maxLength value="many"', "'many' is not a count"),
        ('maxOccurs="unbounded"', 'maxOccurs="-1"', "'-1' is not a count"),
        ('name="interval" type', 'name="interval" nillable="true" type', "the attribute nillable is not supported"),
        ('name="interval"', 'name="status"', "has two elements of one name"),
        ('<xs:complexType name="HeartbeatRequest"/>', "", "there is no type HeartbeatRequest"),
        ('<xs:complexType name="HeartbeatRequest"/>', 2 * '<xs:complexType name="HeartbeatRequest"/>', "defined twice"),
        (
            '<xs:complexType name="HeartbeatRequest"/>',
            '<xs:complexType name="HeartbeatRequest"><xs:choice/></xs:complexType>',
            "HeartbeatRequest: choice is not supported",
        ),
        (
            '<xs:complexType name="HeartbeatRequest"/>',
            '<xs:complexType name="HeartbeatRequest"/><xs:import namespace="urn:a" schemaLocation="http://a.example"/>',
            "types: import has no name",
        ),
        ('element="cs:heartbeatRequest"', 'element="cs:heartbeat"', "types: has no element heartbeat"),
        ('<message name="HeartbeatInput">', '<message name="HeartbeatIn">', "exactly one message HeartbeatInput"),
        ('<part name="parameters"', '<part name="a"/><part name="parameters"', "exactly one part"),
        ('part="ChargeBoxIdentity"', 'part="Identity"', "exactly one part Identity in message Header, found 0"),
        ('<operation name="Heartbeat">', '<operation name="Beat">', "operation Beat: is not in the binding"),
        ('"/Heartbeat" style="document"', '"/Heartbeat" style="rpc"', "operation Heartbeat: is not of style document"),
        ('body use="literal"', 'body use="encoded"', "operation Authorize: is not of use literal"),
        ("http://schemas.xmlsoap.org/soap/http", "urn:mail", "is not SOAP 1.2 over HTTP"),
        ('binding="cs:CentralSystemServiceSoap"', 'binding="cs:Soap"', "exactly one binding Soap, found 0"),
        ("<soap12:address", "<soap12:addres", "needs exactly one address, found 0"),
        ('<xs:enumeration value="Blocked"/>', '<xs:enumeration value="Blocked" id="1"/>', "schema is not valid"),
    ],
)
def test_a_wsdl_that_is_not_understood(tmp_path: Path, old: str, new: str, says: str) -> None:
    source = (OURS / "CentralSystemService.wsdl").read_text()
    assert old in source
    path = tmp_path / "broken.wsdl"
    path.write_text(source.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        wsdl.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_types_nested_without_end(tmp_path: Path) -> None:
    link = '<xs:complexType name="T{}"><xs:sequence><xs:element name="a" type="cs:T{}"/></xs:sequence></xs:complexType>'
    chain = "".join(link.format(n, n + 1) for n in range(2000))
    source = (OURS / "CentralSystemService.wsdl").read_text()
    empty = '<xs:complexType name="HeartbeatRequest"/>'
    path = tmp_path / "deep.wsdl"
    path.write_text(source.replace(empty, chain).replace("cs:HeartbeatRequest", "cs:T0"))
    with pytest.raises(ConfigurationError, match="is nested in more than"):
        wsdl.load(path)


# --- Packaging: what `distribution.files.folder` relies on ---


def test_every_package_is_in_the_wheel_and_so_is_what_lies_beside_the_code() -> None:
    checkout = Path(bridge.__file__).parents[1]
    project = checkout / "pyproject.toml"
    if not project.is_file():
        pytest.skip("not run from a checkout")
    settings = tomllib.loads(project.read_text())["tool"]["setuptools"]
    packages = {".".join(path.parent.relative_to(checkout).parts) for path in checkout.glob("bridge/**/__init__.py")}
    beside = {"bridge.conf": "conf", "bridge.deploy": "deploy", "bridge.wsdl": "wsdl"}
    assert {*settings["packages"]} == packages | {*beside}
    assert settings["package-dir"] == beside
    for name, folder in beside.items():
        files = {path for path in (checkout / folder).rglob("*") if path.is_file()}
        assert files == {
            path for glob in settings["package-data"][name] for path in (checkout / folder).glob(glob) if path.is_file()
        }
