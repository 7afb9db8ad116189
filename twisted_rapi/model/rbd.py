"""
RBD images as QEMU names them: ``rbd:POOL/IMAGE[:KEY=VALUE…]``; pure.

That text is the path of a disk that a guest reaches by librbd, without a device on the node.
"""

import re

from msgspec import Struct

PREFIX = "rbd:"
USUAL_USER = "admin"
"""Who the tools of Ceph are when they are not told."""

# No name begins with "-": it would be taken for an option where it is an argument.
NAME = re.compile(r"(?!\.\.?$)[\w.+][\w.+-]{0,127}", re.ASCII)
_SPECIAL = re.compile(r"([\\:=@])")
_PART = re.compile(r"((?:\\.|[^\\:])*\\?)(:|$)", re.DOTALL)


class RbdImage(Struct, frozen=True, kw_only=True):
    """
    An image, and how it is reached.

    :ivar user: without ``client.``; empty for the usual one.
    :ivar conf: the configuration of Ceph; empty for the usual one.
    :ivar monitors: ``host`` or ``host:port`` of each; none: as the configuration says.
    """

    pool: str
    name: str
    user: str = ""
    conf: str = ""
    monitors: tuple[str, ...] = ()


def uri(image: RbdImage) -> str:
    """The image as QEMU names it; the usual user is not mentioned."""
    options = {
        "id": "" if image.user == USUAL_USER else image.user,
        "conf": image.conf,
        "mon_host": ",".join(image.monitors),
    }
    told = "".join(f":{key}={_marked(value)}" for key, value in options.items() if value)
    return f"{PREFIX}{_marked(image.pool)}/{_marked(image.name)}{told}"


def _marked(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def image(path: str) -> RbdImage | None:
    """What `uri` was told; ``None`` for a path that is none of its answers."""
    if not path.startswith(PREFIX):
        return None
    first, *rest = (_plain(part) for part in _parts(path.removeprefix(PREFIX)))
    pool, slash, name = first.partition("/")
    options = dict(option.partition("=")[::2] for option in rest)
    if not slash or not pool or not name or set(options) - {"id", "conf", "mon_host"}:
        return None
    monitors = tuple(filter(None, re.split(r"[,; ]", options.get("mon_host", ""))))
    return RbdImage(
        pool=pool, name=name, user=options.get("id", ""), conf=options.get("conf", ""), monitors=monitors
    )


def _parts(text: str) -> list[str]:
    """The text at its colons, but those behind a backslash."""
    found, at = [], 0
    while match := _PART.match(text, at):
        found.append(match[1])
        at = match.end()
        if not match[2]:
            break
    return found


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
