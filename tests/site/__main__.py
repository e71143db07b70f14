"""Write every generated part of the pages, and name the pages that changed."""

from __future__ import annotations

from tests.site.generated import PAGES, rewritten
from tests.site.pages import ROOT


def main() -> None:
    for name in PAGES:
        path = ROOT / name
        before = path.read_text("utf-8")
        after = rewritten(before)
        if after != before:
            path.write_text(after, "utf-8")
            print(f"{name}: written")


if __name__ == "__main__":
    main()
