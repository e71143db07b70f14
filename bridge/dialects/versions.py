"""The Dialect of each version of OCPP-S that the bridge speaks."""

from __future__ import annotations

from bridge.dialects.dialect import Dialect
from bridge.dialects.ocpp12 import OCPP12
from bridge.dialects.ocpp15 import OCPP15

OCPP16 = Dialect(version="1.6")
DIALECTS: dict[str, Dialect] = {dialect.version: dialect for dialect in (OCPP16, OCPP15, OCPP12)}
