"""Another process on the same file: commits without end, and prints the number of each record that it was told is safe.

python -m tests.store.child PATH
"""

from __future__ import annotations

import sys
from itertools import count

from bridge.store import Store
from tests.store.examples import alias, charge_point


def main(path: str) -> None:
    store = Store(f"sqlite:///{path}")
    store.open()
    for number in count(1):
        store.put(charge_point(f"CP-{number}"))
        if store.commit(alias(number)).result():
            print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
