"""Sizes as people write and read them; pure."""

import re
from fractions import Fraction

UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
MOST = (1 << 63) - 1
"""Bytes: what Ceph can count."""

_SIZE = re.compile(
    r"(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s?(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE
)
_MOST_SHOWN = 9999


def parse_size(text: str) -> int:
    """
    The bytes of a size.

    It is a number, whole or not, and maybe a unit: ``B``, or ``K`` ``M`` ``G`` ``T`` ``P``, also ``Ki`` …,
    with or without ``B``, in letters of any case.  Each unit is 1024 of the one before; a number without a
    unit is bytes.  What is no whole number of bytes is rounded up.

    :raises ValueError: it is no such text, or more than `MOST`; the message says so.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:60]!r} is no size, such as 1073741824, 1024M, 20G or 1.5TiB")
    exact = Fraction(match[1] if match[1][-1] != "." else match[1][:-1]) * UNITS[(match[2] or "B").upper()]
    size = -(-exact.numerator // exact.denominator)
    if size > MOST:
        raise ValueError(f"{text[:60]!r} is more than {MOST} bytes")
    return size


def human_size(size: int) -> str:
    """
    The size in the smallest unit that needs at most four digits, rounded up: 1 GiB is ``1024M``.

    One that needs more in each unit is told in ``P`` (behaviour.md §4).
    """
    shown = {unit: -(-size // factor) for unit, factor in UNITS.items()}
    unit = next((unit for unit, number in shown.items() if number <= _MOST_SHOWN), "P")
    return f"{shown[unit]}{unit}"
