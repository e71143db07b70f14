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
# The line of the page that becomes the links to its modules.
_PRELOADS = b"<!-- modules -->"


class _File(Struct, frozen=True, kw_only=True):
    data: bytes
    kind: str
    charset: str | None
    etag: str


class Pages:
    """All files of the console, by their path in the folder."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        files = (path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES)
        self._files = {path.relative_to(folder).as_posix(): _file(path.suffix, path.read_bytes()) for path in files}
        index = self._files.get(INDEX)
        if index is not None:
            self._files[INDEX] = _file(".html", index.data.replace(_PRELOADS, self._preloads(index.data)))

    async def index(self, request: web.Request) -> web.StreamResponse:
        """Return the page of the console."""
        return self._answer(request, INDEX)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """Return a file of the console, such as a script or a style sheet."""
        return self._answer(request, request.match_info["name"])

    def _preloads(self, index: bytes) -> bytes:
        """Return links to the modules that the page itself does not name.

        A browser then asks for all of them at once, instead of for each when it has read another one that names it.
        """
        scripts = (name for name in self._files if name.endswith(".js") and "/" not in name)
        modules = (name for name in scripts if f'src="/console/{name}"'.encode() not in index)
        return "\n".join(f'<link rel="modulepreload" href="/console/{name}">' for name in modules).encode()

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


def _file(suffix: str, data: bytes) -> _File:
    return _File(
        data=data,
        kind=_TYPES[suffix],
        charset="utf-8" if suffix in _TEXT else None,
        etag=hashlib.sha256(data).hexdigest()[:32],
    )
