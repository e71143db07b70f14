"""A configuration in several files: which are read, in which order, and whose fault it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import config
from bridge.config import ChargePoint, Secret, Seen, exposed, load
from bridge.errors import ConfigurationError
from tests.config import Files

MAIN = """include = ["conf.d/*.toml"]
[central_systems.main]
url = "ws://cs/ocpp"
[[routes]]
charge_point = "A*"
central_system = "main"
"""
ROUTE = '[[routes]]\ncharge_point = "{}"\ncentral_system = "main"\n'


@pytest.fixture
def fleet(files: Files) -> Files:
    """With a folder for included files."""
    (files.folder / "conf.d").mkdir()
    return files


def test_tables_of_all_files_are_read_and_lists_of_tables_follow_each_other(fleet: Files) -> None:
    fleet.write(ROUTE.format("C*") + "[charge_points.C]\n", "conf.d/20-last.toml")
    fleet.write(ROUTE.format("B*") + "[gateway]\ncall_timeout = 7\n[charge_points.B]\n", "conf.d/10-first.toml")
    fleet.write("[nonsense", "conf.d/.hidden.toml")
    fleet.write("[nonsense", "conf.d/30-other.txt")
    settings = fleet.load(MAIN + "[charge_points.A]\ncertificate_name = 'a'\n")
    assert [route.charge_point for route in settings.routes] == ["A*", "B*", "C*"]
    assert settings.gateway.call_timeout == 7
    assert list(settings.charge_points) == ["A", "B", "C"]
    assert settings.charge_points["A"] == ChargePoint(certificate_name="a")
    assert settings.include == ("conf.d/*.toml",)


def test_listeners_of_several_files(fleet: Files) -> None:
    fleet.write("[[soap]]\nlisten = '127.0.0.1:2'\n", "conf.d/a.toml")
    fleet.write("[[soap]]\nlisten = '127.0.0.1:3'\nlisen = 4\n", "conf.d/b.toml")
    content = MAIN + "[[soap]]\nlisten = '127.0.0.1:1'\n"
    assert fleet.complaints(content) == ["conf.d/b.toml: soap.lisen: unknown key, did you mean listen?"]
    fleet.write("[[soap]]\nlisten = '127.0.0.1:3'\n", "conf.d/b.toml")
    assert [str(soap.listen) for soap in fleet.load(content).soap] == [f"127.0.0.1:{port}" for port in (1, 2, 3)]


@pytest.mark.parametrize(
    ("one", "other", "key"),
    [
        ("[gateway]\ncall_timeout = 7", "[gateway]\ndrain_timeout = 7", "gateway"),
        ("[soap]\nname = 'a'", "[[soap]]\nname = 'b'", "soap"),
        ("[charge_points.'A B']", "[charge_points.'A B']", 'charge_points."A B"'),
        ("[central_systems.x]\nurl = 'ws://a'", "[central_systems.x]\nurl = 'ws://b'", "central_systems.x"),
        ("[nonsense]", "[nonsense]", "nonsense"),
    ],
)
def test_the_same_table_in_two_files_is_an_error_that_names_both(fleet: Files, one: str, other: str, key: str) -> None:
    fleet.write(other, "conf.d/b.toml")
    lines = fleet.complaints(MAIN.replace("[central", f"{one}\n[central"))
    assert f"conf.d/b.toml: {key}: is in conf.toml too; a table is in one file" in lines
    fleet.write(one, "conf.d/a.toml")
    lines = fleet.complaints(MAIN)
    assert f"conf.d/b.toml: {key}: is in conf.d/a.toml too; a table is in one file" in lines


def test_one_charge_point_under_two_spellings(fleet: Files) -> None:
    fleet.write("[charge_points.cp]\n", "conf.d/a.toml")
    text = 'is the same Charge Point as "CP"'
    assert fleet.complaints(MAIN + "[charge_points.CP]\n") == [
        f"conf.d/a.toml: charge_points.cp: {text} in conf.toml",
    ]
    fleet.write("[charge_points.CP]\n[charge_points.cp]\n", "conf.d/a.toml")
    assert fleet.complaints(MAIN) == [f"conf.d/a.toml: charge_points.cp: {text}"]


def test_a_complaint_names_the_file_and_the_key_as_it_is_in_that_file(fleet: Files) -> None:
    content = ROUTE.format("B*") + ROUTE.format("C*").replace("main", "mian") + "[charge_points.A]\npasword = 'x'\n"
    fleet.write(content, "conf.d/a.toml")
    assert fleet.complaints(MAIN) == [
        "conf.d/a.toml: charge_points.A.pasword: unknown key, did you mean password?",
        'conf.d/a.toml: routes[1].central_system: no central system is called "mian", did you mean main?',
    ]
    variable = {"OCPP_BRIDGE__ROUTES__2__ACCEPT": "some"}
    (line,) = [each for each in fleet.complaints(MAIN, variable) if "ROUTES" in each]
    assert line.startswith("environment: OCPP_BRIDGE__ROUTES__2__ACCEPT: expected one of")


@pytest.mark.parametrize(
    ("include", "text"),
    [
        ('["missing.toml"]', "include[0]: there is no such file, and no such folder"),
        ('["conf.d/*.toml", "nowhere/*.toml"]', "include[1]: there is no such file, and no such folder"),
        ('["*.toml"]', "include[0]: the file would include itself"),
        ('"conf.d/*.toml"', "include: expected a list, got text"),
        ("[1]", "include[0]: expected text, got the integer 1"),
        ('["\\u0000"]', "include[0]: "),
    ],
)
def test_what_cannot_be_included(fleet: Files, include: str, text: str) -> None:
    (line,) = fleet.complaints(MAIN.replace('["conf.d/*.toml"]', include))
    assert line.startswith(f"conf.toml: {text}")


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(fleet: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """`glob` finds nothing in it, and says nothing."""

    def closed(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    assert fleet.complaints(MAIN) == []
    monkeypatch.setattr(Path, "iterdir", closed)
    assert fleet.complaints(MAIN) == ["conf.toml: include[0]: cannot be read: Permission denied"]


def test_an_included_file_that_is_bad(fleet: Files) -> None:
    fleet.write("[gateway", "conf.d/a.toml")
    fleet.write(b"\xff", "conf.d/b.toml")
    fleet.write('include = ["c.toml"]', "conf.d/c.toml")
    (fleet.folder / "conf.d" / "d.toml").mkdir()
    starts = [
        *("a.toml: line 1, column 9: ", "b.toml: line 1, column 1: not UTF-8"),
        *("c.toml: include: an included file includes no others", "d.toml: cannot be read: Is a directory"),
    ]
    lines = fleet.complaints(MAIN)
    assert len(lines) == len(starts)
    assert all(line.startswith(f"conf.d/{start}") for line, start in zip(lines, starts, strict=True))


def test_a_file_that_two_patterns_match_is_read_once_and_the_working_directory_does_not_matter(
    fleet: Files, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.write("[charge_points.B]\n", "conf.d/b.toml")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    whole = f"{fleet.folder}/conf.d/b.toml"
    settings = fleet.load(MAIN.replace('["conf.d/*.toml"]', f'["conf.d/*.toml", "conf.d/b.*", "{whole}"]'))
    assert list(settings.charge_points) == ["B"]


def test_the_environment_names_other_files(fleet: Files) -> None:
    fleet.write("[charge_points.B]\n", "conf.d/b.toml")
    fleet.write("[charge_points.C]\n", "c.toml")
    environ = {"OCPP_BRIDGE__INCLUDE": "c.toml"}
    assert list(fleet.load(MAIN, environ).charge_points) == ["C"]
    with pytest.raises(ConfigurationError, match="OCPP_BRIDGE__INCLUDE: there is no file that it could be relative to"):
        load(None, environ)


# When it is read again.


def again(fleet: Files, seen: Seen) -> list[str]:
    try:
        load(fleet.folder / "conf.toml", {}, seen)
    except ConfigurationError as error:
        return [str(complaint).replace(f"{fleet.folder}/", "") for complaint in error.complaints]
    seen.take_over()
    return []


def test_an_included_file_that_was_cut_off_or_emptied_changes_nothing(fleet: Files) -> None:
    seen, whole = Seen(), "[charge_points.B]\npassword = 'b'\ncertificate_name = 'b'\n[charge_points.C]\n"
    fleet.write(MAIN)
    fleet.write(whole, "conf.d/b.toml")
    assert again(fleet, seen) == []
    for length in range(whole.index("[charge_points.C]")):
        fleet.write(whole[:length], "conf.d/b.toml")
        (line,) = again(fleet, seen)
        assert line.startswith("conf.d/b.toml: ")
    fleet.write(whole[: whole.index("[charge_points.C]")], "conf.d/b.toml")
    assert again(fleet, seen) == []
    (fleet.folder / "conf.d" / "b.toml").unlink()  # somebody means it
    assert again(fleet, seen) == []


# What others can read.


def test_included_files_with_secrets_that_others_can_read(fleet: Files) -> None:
    with_one = fleet.write("[charge_points.B]\npassword = 'b'\n", "conf.d/b.toml")
    without = fleet.write("[charge_points.C]\n", "conf.d/c.toml")
    settings = fleet.load(MAIN)
    files = config.files(fleet.folder / "conf.toml", {})
    assert files == [fleet.folder / "conf.toml", with_one, without]
    for path in files:
        path.chmod(0o644)
    (line,) = exposed(settings, files)
    assert line.startswith(f"{with_one}: the file can be read by others than its owner, and has secrets in it (charge")
    with_one.chmod(0o640)
    assert list(exposed(settings, files)) == []
    assert settings.charge_points["B"].password == Secret(b"b")


def test_a_link_to_the_file_itself(fleet: Files) -> None:
    path: Path = fleet.write(MAIN)
    (fleet.folder / "conf.d" / "a.toml").symlink_to(path)
    assert fleet.complaints(MAIN) == ["conf.toml: include[0]: the file would include itself"]
