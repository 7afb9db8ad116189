"""Which frames the switch lets through, as rules of nftables; pure."""

from collections.abc import Collection, Iterable

import attrs

EVERYONE = "*"


@attrs.frozen(order=True)
class Cut:
    """
    What no longer passes, in one direction.

    :ivar source: a port of the switch, or `EVERYONE`; `target`: another.
    :ivar ports: TCP ports of either end; empty: everything, ARP and neighbour discovery included.
    :ivar share: percent of the frames that are lost.
    """

    source: str
    target: str
    ports: tuple[int, ...] = ()
    share: int = 100

    def __attrs_post_init__(self) -> None:
        if not 0 < self.share <= 100:
            raise ValueError(f"{self.share} is not a percentage")


def between(some: Iterable[str], others: Collection[str], ports: tuple[int, ...] = ()) -> frozenset[Cut]:
    """Nothing passes between these and those, either way; a place is not cut off from itself."""
    pairs = [(a, b) for a in some for b in others if a != b]
    return frozenset(Cut(*pair, ports) for a, b in pairs for pair in ((a, b), (b, a)))


def wire_of(port: str) -> str:
    """The device that takes the place of a port whose frames are delayed."""
    return f"{port}w"


def ruleset(cuts: Iterable[Cut]) -> str:
    """What ``nft -f`` is told so that exactly these are in force."""
    lines = [line for cut in sorted(set(cuts)) for line in _lines(cut)]
    rules = "".join(f"    {line}\n" for line in lines)
    chain = f"  chain passing {{\n    type filter hook forward priority 0; policy accept;\n{rules}  }}\n"
    # Declared first, so that it can be deleted: all of it is one transaction.
    return f"table bridge lab {{\n}}\ndelete table bridge lab\ntable bridge lab {{\n{chain}}}\n"


def _lines(cut: Cut) -> list[str]:
    way = [
        f"{end} {_names(port)}" for end, port in (("iifname", cut.source), ("oifname", cut.target)) if port
    ]
    way = [part for part in way if not part.endswith(EVERYONE)]
    chance = [] if cut.share == 100 else [f"numgen random mod 100 < {cut.share}"]
    if not cut.ports:
        return [" ".join([*way, *chance, "drop"])]
    ports = ", ".join(map(str, cut.ports))
    return [
        " ".join([*way, f"meta l4proto tcp th {side} {{ {ports} }}", *chance, "drop"])
        for side in ("sport", "dport")
    ]


def _names(port: str) -> str:
    return EVERYONE if port == EVERYONE else f'{{ "{port}", "{wire_of(port)}" }}'
