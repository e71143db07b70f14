"""Convert the names of configuration keys. OCPP 1.5 and 1.2 spell one standard key of OCPP 1.6 differently.

The standard keys of 1.6 are those of edition 2, section 9.1.
All other standard keys of the older versions have the same name in 1.6 or do not exist in 1.6. These keys pass
unchanged, and so do the keys of vendors. The comparison ignores letter case, because keys are CiStrings in 1.6. A
renamed key is no Loss, because the new name stands for the same setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.dialects.rules import At, Record, Rule, each, respelled, word

_TO_OLDER = {"HeartbeatInterval": "HeartBeatInterval"}
_TO_16 = {older: new for new, older in _TO_OLDER.items()}


def _each_respelled(name: str, spellings: Mapping[str, str]) -> Rule:
    """Return a rule that respells the texts in the list `name`."""
    folded = {old.lower(): new for old, new in spellings.items()}

    def rule(record: Record, at: At) -> None:
        texts = record.get(name)
        if isinstance(texts, list | tuple):
            record[name] = [folded.get(word(text), text) for text in texts]

    return rule


def _rules(spellings: Mapping[str, str]) -> dict[str, tuple[Any, ...]]:
    """Return the rules of the three PDUs that hold configuration keys."""
    return {
        "ChangeConfigurationRequest": (respelled("key", spellings),),
        "GetConfigurationRequest": (_each_respelled("key", spellings),),
        "GetConfigurationResponse": (
            each("configurationKey", respelled("key", spellings)),
            _each_respelled("unknownKey", spellings),
        ),
    }


KEYS_TO_16 = _rules(_TO_16)
KEYS_TO_OLDER = _rules(_TO_OLDER)
