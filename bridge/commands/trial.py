"""Try the steps of a start for the command `check`: use the store and its folder, and read the admin token."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.admin import token_file
from bridge.commands import workers
from bridge.config import Settings, Store
from bridge.config.cluster import has_workers
from bridge.config.exposure import others_read
from bridge.errors import Complaint, ConfigurationError
from bridge.gateway.sign_in import missing_library
from bridge.store import UnusableStore, examine, path_of

# Octets of the trial file, about as many as the store writes at once.
_TRIAL = 65536


def complaints(settings: Settings, source: str) -> Iterator[Complaint]:
    """Return the faults that would make a start fail, or make the bridge run without its store.

    Args:
        settings: The configuration.
        source: Name of the configuration file, for complaints.
    """
    if (missing := missing_library(settings.admin, source)) is not None:
        yield missing
    yield from workers.complaints(settings, source)
    store = _store(settings)
    if store is None:
        return
    if store.exists() and not stat.S_ISREG(store.stat().st_mode):
        yield Complaint(source, "store.url", f"{store} is a {_kind(store)}, and no file that a store can be in")
    elif (trouble := _of_no_use(store)) is not None:
        yield Complaint(source, "store.url", trouble)
    folder = store.parent
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if (trouble := _refuses(nearest)) is not None:
        fault = "takes no file" if nearest == folder else "is missing and cannot be made"
        yield Complaint(source, "store.url", f"the folder {folder} {fault}: {trouble}")
    if settings.admin.token is None:
        try:
            token_file.found(store.parent / token_file.NAME)
        except ConfigurationError as error:
            yield from error.complaints


def cautions(settings: Settings) -> Iterator[str]:
    """Return cautions about effects of a start that the operator may not intend."""
    yield from workers.cautions(settings, workers.count_of(settings) if has_workers(settings) else 0)
    store = _store(settings)
    chosen = settings.store != Store()  # the folder of the default store is expected to be created
    if store is not None and chosen and not store.parent.exists():
        yield f"store.url: the folder {store.parent} is missing, and made at the start"
    if store is not None and store.exists() and not os.access(store, os.R_OK):
        yield f"store.url: who runs this may not read {store}; whether serve can use it is not known"


def exposed(settings: Settings) -> Iterator[str]:
    """Return a line if users other than the owner can read the file with the admin token."""
    store = _store(settings)
    if store is not None and settings.admin.token is None and others_read(token := store.parent / token_file.NAME):
        yield f"{token}: the file can be read by others than its owner: chmod o= it"


def _of_no_use(store: Path) -> str | None:
    """Return why this version cannot use the store in the file; None if it can, or if the file cannot be read."""
    try:
        examine(store)
    except UnusableStore as error:
        return str(error)
    except OSError:
        return None
    return None


def _store(settings: Settings) -> Path | None:
    return path_of(settings.store.url)


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "device or a pipe"


def _refuses(folder: Path) -> str | None:
    """Return why no file can be written in the folder, None if one can. The trial file is deleted at once."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIAL))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None
