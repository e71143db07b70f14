"""What MkDocs does beside reading docs/: the site also has pages and files that lie elsewhere in the project.

A page of docs/ links to such a file by its path in the repository, `../conf/bridge.toml`. The site has a copy of the
file, and there the link leads to the copy.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# The pages of the site that are files of the project's first folder.
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
# The folders whose files the site has under `files/`.
FOLDERS = ("conf", "deploy")
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)(?P<path>[^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files that do not lie in docs/."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()):
        files.append(File.generated(config, f"files/{path.relative_to(ROOT)}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page lead to the copies that the site has."""
    source = next((name for name, own in PAGES.items() if own == page.file.src_uri), f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda found: _in_site(found["path"], source, page.file.src_uri), markdown)


def _in_site(link: str, source: str, page: str) -> str:
    """Return the link for the site.

    Args:
        link: The link as the file has it.
        source: The path of the file below the project's folder.
        page: The path of the page below docs/.
    """
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target in PAGES:
        target = PAGES[target]
    elif target.startswith("docs/") or target == "docs":
        target = target.removeprefix("docs").removeprefix("/")
        target = posixpath.join(target, "index.md") if not posixpath.splitext(target)[1] else target
    else:
        target = f"files/{target}"
    return posixpath.relpath(target, posixpath.dirname(page) or ".")
