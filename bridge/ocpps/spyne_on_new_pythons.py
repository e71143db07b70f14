"""Lets Spyne 2.14, the newest release, be imported on Python 3.12 and 3.13. Import it before anything of Spyne.

Spyne carries an old copy of six, whose `moves` are served by an importer of a kind that Python 3.12 no longer asks, and
it imports `cgi`, which Python 3.13 no longer has, for one function that its aiohttp-hosted half never calls.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

_SIX = "spyne.util.six"


class _SixMoves(MetaPathFinder, Loader):
    """Asks Spyne's own six for its moved modules, in the way that today's import system asks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_ours = fullname == f"{_SIX}.moves" or fullname.startswith(f"{_SIX}.moves.")
        return spec_from_loader(fullname, self, is_package=True) if is_ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = sys.modules[_SIX]._importer.load_module(spec.name)
        assert isinstance(module, ModuleType)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already."""


@contextmanager
def _without_cgi() -> Iterator[None]:
    """While Spyne is imported, `cgi` is an empty module: not there from 3.13 on, deprecated before."""
    real = sys.modules.get("cgi")
    sys.modules["cgi"] = ModuleType("cgi")
    try:
        yield
    finally:
        del sys.modules["cgi"]
        if real is not None:
            sys.modules["cgi"] = real


def _import_spyne() -> None:
    sys.meta_path.insert(0, _SixMoves())
    with _without_cgi(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated escapes and modules, in code that is not ours to mend
        for module in ("spyne", "spyne.protocol.soap", "spyne.server"):
            import_module(module)
    # Of a kind that is deprecated in 3.11, and asked in vain on every import later; ours serves its modules.
    sys.meta_path.remove(sys.modules[_SIX]._importer)


_import_spyne()
