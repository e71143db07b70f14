"""How much Hypothesis may try: `dev` by default, `ci` where CI=true, the same examples in every run there."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A machine that is busy with other things is no defect of the code.
_SLOWNESS = [HealthCheck.too_slow]

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=_SLOWNESS)
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    suppress_health_check=_SLOWNESS,
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.load_profile("ci" if os.environ.get("CI", "").lower() == "true" else "dev")
