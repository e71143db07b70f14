"""What is installed with ocpp-bridge: a CycloneDX bill of materials, licences, and known vulnerabilities.

python -m tests.dependencies sbom FILE     write the bill of materials, and complain of a licence that is not accepted
python -m tests.dependencies audit         ask pip-audit for known vulnerabilities, for 30 seconds at most
python -m tests.dependencies licences      write the table of docs/licences.md
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import bridge

OURS = "ocpp-bridge"
EXTRAS = frozenset({"otel", "cluster"})
PAGE = Path(bridge.__file__).resolve().parents[1] / "docs" / "licences.md"
_BEGIN, _END = "<!-- `python -m tests.dependencies licences` writes this table -->\n", "<!-- until here -->"
_AUDIT_PATIENCE = 30  # seconds

# The licences whose terms an image or a package of ours keeps. The texts come along in the metadata of each package.
ACCEPTED: Mapping[str, str] = {
    "Apache-2.0": "permissive",
    "BSD-2-Clause": "permissive",
    "BSD-3-Clause": "permissive",
    "ISC": "permissive",
    "MIT": "permissive",
    "MIT-0": "permissive",
    "PSF-2.0": "permissive",
    "MPL-2.0": "for changes of its own files, of which there are none",
    "LGPL-2.1-or-later": "a library that is imported unchanged, and can be replaced",
}
# How packages write what SPDX writes otherwise.
_SPELLED: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "LGPL-2.1": "LGPL-2.1-or-later",  # as the head of each file of Spyne says
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


class UnknownLicence(Exception):
    """A package does not say its licence, or one that is not accepted. The text names both."""


@dataclass(frozen=True)
class Package:
    """An installed package: its name as indices write it, its version, its licence in SPDX's terms, what it needs."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def installed() -> dict[str, Package]:
    """Return ocpp-bridge and all that it needs to run, by name, as installed here."""
    found: dict[str, Package] = {}
    wanted: list[tuple[str, frozenset[str]]] = [(OURS, EXTRAS)]
    while wanted:
        name, extras = wanted.pop()
        if name not in found:
            distribution = metadata.distribution(name)
            needs = dict(_needs(distribution, extras))
            licence = licence_of(distribution.metadata)
            found[name] = Package(name, distribution.version, licence, tuple(sorted(needs)))
            wanted += needs.items()
    return dict(sorted(found.items()))


def _needs(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in distribution.requires or []:
        needed = Requirement(line)
        marker = needed.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield normal(needed.name), frozenset(needed.extras)


def normal(name: str) -> str:
    """Return the name of a package as indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(said: Any) -> str:
    """Return the licence in SPDX's terms that the metadata of a package says, in whichever of three ways."""
    classifiers = [line.split(" :: ")[-1] for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    ways = [said.get("License-Expression"), said.get("License"), *classifiers]
    spelled = [_SPELLED.get(way, way) for way in ways if way]
    return next((way for way in spelled if not unaccepted(way)), spelled[0].splitlines()[0] if spelled else "")


def unaccepted(expression: str) -> set[str]:
    """Return the licences of an SPDX expression that are not accepted. All of them count, joined by AND or by OR."""
    return {each for each in re.split(r" AND | OR |[()]", expression) if each} - ACCEPTED.keys() or (
        set() if expression else {"none"}
    )


def checked(packages: Mapping[str, Package]) -> None:
    """Raise UnknownLicence for the packages whose licence is not accepted."""
    wrong = [
        f"{package.name} {package.version}: {package.licence or 'says no licence'}"
        for package in packages.values()
        if unaccepted(package.licence)
    ]
    if wrong:
        raise UnknownLicence(
            "these licences are not accepted (ACCEPTED in tests/dependencies.py):\n" + "\n".join(wrong)
        )


# The bill of materials.


def bill(packages: Mapping[str, Package]) -> dict[str, Any]:
    """Return the bill of materials in CycloneDX 1.6. The same packages make the same bill."""
    others = [package for name, package in packages.items() if name != OURS]
    content: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(packages[OURS], "application")},
        "components": [_component(package, "library") for package in others],
        "dependencies": [
            {"ref": package.purl, "dependsOn": [packages[name].purl for name in package.needs]}
            for package in packages.values()
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return content | {"serialNumber": serial.urn}


def _component(package: Package, kind: str) -> dict[str, Any]:
    single = " " not in package.licence
    licence = {"license": {"id": package.licence}} if single else {"expression": package.licence}
    return {
        "type": kind,
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "licenses": [licence],
    }


# The table of licences.


def table(packages: Mapping[str, Package]) -> str:
    """Return the table of docs/licences.md."""
    rows = [f"| {name} | {package.licence} |\n" for name, package in packages.items() if name != OURS]
    return "| package | licence |\n|---|---|\n" + "".join(rows)


def rewritten(text: str, packages: Mapping[str, Package]) -> str:
    """Return the page with the table in its place."""
    before, _, rest = text.partition(_BEGIN)
    return before + _BEGIN + table(packages) + _END + rest.partition(_END)[2]


# Known vulnerabilities.


def audit(
    packages: Mapping[str, Package], command: Sequence[str], patience: float = _AUDIT_PATIENCE
) -> tuple[int, str]:
    """Ask pip-audit, run by `command`, for known vulnerabilities of the dependencies.

    Returns 0 and a sentence; 1 and one line for each vulnerability. No answer is no failure: whoever publishes
    vulnerabilities may be out of reach.
    """
    pinned = "".join(f"{package.name}=={package.version}\n" for name, package in packages.items() if name != OURS)
    options = ("--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off", "--requirement=/dev/stdin")
    try:
        asked = subprocess.run([*command, *options], input=pinned, capture_output=True, text=True, timeout=patience)
        answers = json.loads(asked.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return 0, f"pip-audit: no answer within {patience:g} s"
    except (OSError, ValueError, KeyError, TypeError):
        return 0, "pip-audit: no answer"
    known = [each for each in answers if "vulns" in each]
    lines = [f"{each['name']} {each['version']}: {vuln['id']}" for each in known for vuln in each["vulns"]]
    if lines:
        return 1, "\n".join(lines)
    if not known:
        return 0, "pip-audit: no answer for any of the dependencies"
    return 0, f"pip-audit: no known vulnerability in {len(known)} of {len(packages) - 1} dependencies"


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands. Returns its exit code."""
    packages = installed()
    match list(arguments):
        case ["sbom", file]:
            try:
                checked(packages)
            except UnknownLicence as error:
                print(error, file=sys.stderr)
                return 1
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(json.dumps(bill(packages), indent=2) + "\n", "utf-8")
            print(f"{file}: {len(packages) - 1} dependencies, all under accepted licences")
            return 0
        case ["audit"]:
            code, said = audit(packages, [sys.executable, "-m", "pip_audit"])
            print(said)
            return code
        case ["licences"]:
            PAGE.write_text(rewritten(PAGE.read_text("utf-8"), packages), "utf-8")
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
