"""Records as values: what two JSON texts must have in common to be the same record.

Owns: parsing without losing anything, and equality.
Does not know: where the texts come from.
"""

import json


def _distinct(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key twice in one object")
    return out


def _no_float(text):
    raise ValueError(f"{text}: records hold no fractions")


def value_of(text: str | bytes):
    return json.loads(text, object_pairs_hook=_distinct, parse_float=_no_float, parse_constant=_no_float)


def same(a, b) -> bool:
    """The same JSON value. Python holds that 1 == True, JSON does not."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
