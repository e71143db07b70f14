"""The console is served from what comes along, and nothing else is."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

import bridge
from bridge.admin.pages import Pages


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    folder = tmp_path / "console"
    (folder / "views").mkdir(parents=True)
    (folder / "index.html").write_text("<title>é</title>")
    (folder / "views" / "list.js").write_text("export {};")
    (folder / "__init__.py").write_text("")
    (tmp_path / "secret.js").write_text("")
    return Pages(folder)


async def asked(pages: Pages, name: str | None = None, **headers: str) -> web.Response:
    told = {key.replace("_", "-"): value for key, value in headers.items()}
    request = make_mocked_request("GET", "/", headers=told, match_info={"name": name or ""})
    answer = await (pages.index(request) if name is None else pages.asset(request))
    assert isinstance(answer, web.Response)
    return answer


async def test_the_page_and_its_parts(pages: Pages) -> None:
    page = await asked(pages)
    assert (page.status, page.body, page.headers["Content-Type"]) == (
        200,
        "<title>é</title>".encode(),
        "text/html; charset=utf-8",
    )
    assert (await asked(pages, "views/list.js")).headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_what_a_browser_has_is_not_sent_again(pages: Pages) -> None:
    tag = (await asked(pages)).headers["ETag"]
    assert (await asked(pages, If_None_Match=tag)).status == 304
    assert (await asked(pages, If_None_Match=f'"x", {tag}')).status == 304
    assert (await asked(pages, If_None_Match='"x"')).status == 200


@pytest.mark.parametrize("name", ["__init__.py", "../secret.js", "/etc/passwd", "views", "gone.js"])
async def test_nothing_else_is_served(pages: Pages, name: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        await asked(pages, name)


async def test_the_page_asks_for_its_modules_at_once(pages: Pages, tmp_path: Path) -> None:
    folder = tmp_path / "console"
    own = '<script src="/console/theme.js"></script>'
    (folder / "index.html").write_text(f"<head>{own}\n<!-- modules -->\n</head>")
    for name in ("dom.js", "parts.js", "theme.js"):
        (folder / name).write_text("export {};")
    links = [f'<link rel="modulepreload" href="/console/{name}.js">' for name in ("dom", "parts")]
    before = (await asked(pages)).headers["ETag"]
    page = await asked(Pages(folder))
    assert page.body == "\n".join([f"<head>{own}", *links, "</head>"]).encode()
    assert page.headers["ETag"] != before


UPLOT = Path(bridge.__file__).parent / "admin" / "console" / "uplot"
# The files of the npm package, as they were published. A new version is a new folder's content, and new lines here.
PUBLISHED = {
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_what_others_wrote_is_as_they_published_it_and_its_licence_is_named() -> None:
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in UPLOT.iterdir()} == PUBLISHED
    found = re.search(r"uPlot \(v([\d.]+)\)", (UPLOT / "uPlot.esm.js").read_text("utf-8"))
    assert found is not None
    licences = (Path(bridge.__file__).parents[1] / "docs" / "licences.md").read_text("utf-8")
    assert f"| uPlot {found[1]} as it was published, under the MIT licence" in licences
