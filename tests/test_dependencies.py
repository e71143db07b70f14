"""What is installed with the bridge is known, under licences that are accepted, and told in CycloneDX."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import bridge
from tests.dependencies import (
    ACCEPTED,
    PAGE,
    Package,
    UnknownLicence,
    audit,
    bill,
    checked,
    installed,
    licence_of,
    main,
    rewritten,
    table,
    unaccepted,
)
from tests.test_project import PYTHONS, name_of, needed


def test_every_dependency_has_a_licence_that_is_accepted() -> None:
    packages = installed()
    checked(packages)
    assert {name_of(wanted) for wanted in needed("otel")} <= packages.keys()
    assert not {"pytest", "ruff", "pip"} & packages.keys()


def test_a_licence_that_nobody_accepted_is_named() -> None:
    packages = installed()
    wrong = {
        "zeep": replace(packages["zeep"], licence="GPL-3.0-only"),
        "yarl": replace(packages["yarl"], licence=""),
    }
    with pytest.raises(UnknownLicence) as caught:
        checked(packages | wrong)
    lines = str(caught.value).splitlines()[1:]
    assert lines == [
        f"yarl {packages['yarl'].version}: says no licence",
        f"zeep {packages['zeep'].version}: GPL-3.0-only",
    ]


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ([("License-Expression", "Apache-2.0 AND MIT")], "Apache-2.0 AND MIT"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        (
            [("License", "Copyright (c) 2021\nAll rights"), ("Classifier", "License :: OSI Approved :: BSD License")],
            "BSD-3-Clause",
        ),
        (
            [
                ("Classifier", "Programming Language :: Python"),
                ("Classifier", "License :: OSI Approved :: MIT License"),
            ],
            "MIT",
        ),
        ([("License", "Proprietary\n...")], "Proprietary"),
        ([], ""),
    ],
)
def test_how_packages_say_their_licence(fields: list[tuple[str, str]], licence: str) -> None:
    said = Message()
    for name, value in fields:
        said[name] = value
    assert licence_of(said) == licence


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT", set()),
        ("(MIT OR Apache-2.0) AND ISC", set()),
        ("MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("", {"none"}),
    ],
)
def test_how_expressions_are_read(expression: str, wrong: set[str]) -> None:
    assert unaccepted(expression) == wrong


def test_the_bill_of_materials_is_what_cyclonedx_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dist" / "bill.cdx.json"
    assert main(["sbom", str(file)]) == 0
    assert "all under accepted licences" in capsys.readouterr().out
    text = file.read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    read = json.loads(text)
    assert read["metadata"]["component"]["version"] == bridge.__version__
    names = {component["bom-ref"] for component in read["components"]} | {read["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in read["dependencies"]} == names
    assert {ref for each in read["dependencies"] for ref in each["dependsOn"]} <= names
    assert bill(installed()) == read  # the same every time


def test_the_page_of_licences_is_current() -> None:
    """`python -m tests.dependencies licences` writes it, with the oldest Python, which needs the most packages."""
    page, rows = PAGE.read_text("utf-8"), table(installed()).splitlines()
    assert [row for row in rows if row not in page.splitlines()] == []
    if "{}.{}".format(*sys.version_info[:2]) == PYTHONS[0]:
        assert rewritten(page, installed()) == page
    assert "| spyne | LGPL-2.1-or-later |" in rows and "LGPL-2.1-or-later" in ACCEPTED


# pip-audit

FEW = {
    "ocpp-bridge": Package("ocpp-bridge", "1", "MIT", ("a", "b")),
    "a": Package("a", "1.0", "MIT", ()),
    "b": Package("b", "2.0", "MIT", ()),
}


def auditor(program: str) -> list[str]:
    """A program in the place of pip-audit."""
    return [sys.executable, "-c", program]


def answering(*dependencies: object) -> list[str]:
    """One that gets these answers."""
    text = json.dumps({"dependencies": dependencies, "fixes": []})
    return auditor(f"import sys; assert sys.stdin.read() == 'a==1.0\\nb==2.0\\n'; print({text!r})")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (auditor("import time; time.sleep(60)"), (0, "pip-audit: no answer within 0.5 s")),
        (auditor("raise SystemExit(1)"), (0, "pip-audit: no answer")),
        (["/nonexistent/pip-audit"], (0, "pip-audit: no answer")),
    ],
)
def test_no_answer_is_said_and_is_no_failure(command: list[str], answer: tuple[int, str]) -> None:
    assert audit(FEW, command, patience=0.5 if "sleep" in command[-1] else 60) == answer


def test_answers_are_told() -> None:
    unknown = {"name": "a", "skip_reason": "Dependency not found"}
    good = {"name": "b", "version": "2.0", "vulns": []}
    bad = {"name": "a", "version": "1.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
    assert audit(FEW, answering(unknown, unknown)) == (0, "pip-audit: no answer for any of the dependencies")
    assert audit(FEW, answering(unknown, good)) == (0, "pip-audit: no known vulnerability in 1 of 2 dependencies")
    assert audit(FEW, answering(bad, good)) == (1, "a 1.0: PYSEC-1\na 1.0: PYSEC-2")


def test_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert "python -m tests.dependencies sbom FILE" in capsys.readouterr().err
