"""The console is served from what comes along, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.admin.pages import Pages
from tests.e2e.stage import run


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


def test_the_page_and_its_parts(pages: Pages) -> None:
    async def walk() -> None:
        page = await asked(pages)
        assert (page.status, page.body, page.headers["Content-Type"]) == (
            200,
            "<title>é</title>".encode(),
            "text/html; charset=utf-8",
        )
        assert (await asked(pages, "views/list.js")).headers["Content-Type"] == "text/javascript; charset=utf-8"

    run(walk())


def test_what_a_browser_has_is_not_sent_again(pages: Pages) -> None:
    async def walk() -> None:
        tag = (await asked(pages)).headers["ETag"]
        assert (await asked(pages, If_None_Match=tag)).status == 304
        assert (await asked(pages, If_None_Match=f'"x", {tag}')).status == 304
        assert (await asked(pages, If_None_Match='"x"')).status == 200

    run(walk())


@pytest.mark.parametrize("name", ["__init__.py", "../secret.js", "/etc/passwd", "views", "gone.js"])
def test_nothing_else_is_served(pages: Pages, name: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        run(asked(pages, name))
