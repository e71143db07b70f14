"""The console: files of this package, which are read once and served from memory. The console needs no other server."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web
from msgspec import Struct

_FOLDER = Path(__file__).parent / "console"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_TEXT = frozenset({".css", ".html", ".js"})
INDEX = "index.html"


class _File(Struct, frozen=True, kw_only=True):
    data: bytes
    kind: str
    charset: str | None
    etag: str


class Pages:
    """All files of the console, by their path in the folder."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        files = (path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES)
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in files}

    async def index(self, request: web.Request) -> web.StreamResponse:
        """Return the page of the console."""
        return self._answer(request, INDEX)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """Return a file of the console, such as a script or a style sheet."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": f'"{file.etag}"', "Cache-Control": "no-cache"}
        if any(known.value in (file.etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=file.data, content_type=file.kind, charset=file.charset, headers=headers)
        response.enable_compression()
        return response


def _read(path: Path) -> _File:
    data = path.read_bytes()
    return _File(
        data=data,
        kind=_TYPES[path.suffix],
        charset="utf-8" if path.suffix in _TEXT else None,
        etag=hashlib.sha256(data).hexdigest()[:32],
    )
