"""
Which locks an opcode needs, and who may have them (behaviour.md §12, locks_hooks.tsv).

Locks are named and belong to a level; a request is granted whole or waits whole, so there is no order in
which two could block each other.
"""

from typing import Literal

import attrs

Level = Literal["cluster", "instance", "nodegroup", "node", "node-res", "network"]


@attrs.frozen(order=True)
class Lock:
    """
    One lock wanted or held; `name` is an instance's name or another object's uuid.

    A new object's lock is that of the name it will have.
    """

    level: Level
    name: str
    shared: bool = False
