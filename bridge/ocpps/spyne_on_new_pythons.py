"""The import of Spyne 2.14, the newest release, on Python 3.12 and 3.13.

Import this module before any module of Spyne. It raises StartError if Spyne is not installed.

Spyne contains an old copy of six. An importer of a kind that Python 3.12 no longer supports provides its `moves`. Spyne
also imports `cgi`, which Python 3.13 no longer has, for one function that the bridge never calls.
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

from bridge.errors import StartError

_SIX = "spyne.util.six"


class _SixMoves(MetaPathFinder, Loader):
    """An importer for the `moves` of Spyne's own six, with the interface of the current import system."""

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
        """Do nothing: six has executed the module."""


@contextmanager
def _without_cgi() -> Iterator[None]:
    """Replace `cgi` by an empty module while Spyne is imported: Python 3.13 has none, and earlier ones deprecate it."""
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
        warnings.simplefilter("ignore")  # warnings about deprecated escapes and modules in Spyne
        try:
            for module in ("spyne", "spyne.protocol.soap", "spyne.server"):
                import_module(module)
        except ImportError as error:
            text = f"the SOAP services need Spyne, which cannot be imported here: {error}"
            raise StartError(text) from error
    # Python 3.11 deprecates importers of this kind, and would ask it at every later import. _SixMoves replaces it.
    sys.meta_path.remove(sys.modules[_SIX]._importer)


_import_spyne()
