"""
The forms of PVC's API, and which of them a request is in.

Note [Which dialect].  Paths and names of values that only some dialects have tell what the client speaks.
Where they leave several, its User-Agent decides, then what is configured, then which of them is the oldest.
Where they contradict each other only the path counts.
"""

import re
from collections.abc import Iterable
from enum import IntEnum


class Dialect(IntEnum):
    """A form of the API, by the first version that had it; older ones are less."""

    SEED = 0
    V0_6 = 6
    V1_0 = 10


ALL = frozenset(Dialect)
SEED = frozenset({Dialect.SEED})
LATER = frozenset({Dialect.V0_6, Dialect.V1_0})
NEWEST = frozenset({Dialect.V1_0})

NAMES = {"seed": Dialect.SEED, "0.6": Dialect.V0_6, "1.0": Dialect.V1_0}
"""What the configuration calls them."""

# Such as pvc-client-cli/0.9.1.
_AGENT = re.compile(r"\bpvc[a-z-]{0,20}/v?(\d{1,3})\.(\d{1,3})", re.IGNORECASE)


def of_agent(user_agent: str) -> Dialect | None:
    """The dialect of a client that says that it is one of PVC, and of which version."""
    found = _AGENT.search(user_agent[:500])
    if found is None:
        return None
    version = int(found[1]), int(found[2])
    if version < (0, 6):
        return Dialect.SEED
    return Dialect.V0_6 if version < (0, 9) else Dialect.V1_0


def choose(
    path: frozenset[Dialect], signs: Iterable[frozenset[Dialect]], user_agent: str, configured: Dialect
) -> Dialect:
    """
    The dialect of a request, see Note [Which dialect].

    :param path: those that have what it asks for; not empty.
    :param signs: for each thing it says that not all of them know, those that do.
    """
    possible = path.intersection(*signs) or path
    for wish in (of_agent(user_agent), configured):
        if wish in possible:
            return wish
    return min(possible)
