"""Names and tags: what may be one."""

import re
from collections.abc import Iterable

from twisted_rapi.errors import TagError, prereq

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_TAG = re.compile(r"[\w.+*/:@-]+", re.ASCII)

TAG_LENGTH = 128
TAGS_PER_OBJECT = 4096


def host_name(name: str) -> str:
    """
    A name in its one form: lower case, no dot at the end.

    :raises OpPrereqError: ``wrong_input``: it cannot name a host.
    """
    lowered = name.lower().removesuffix(".")
    if len(lowered) > 255 or _HOST.fullmatch(lowered) is None:
        raise prereq(f"Invalid hostname {name!r}")
    return lowered


def check_tags(tags: Iterable[str]) -> None:
    """
    Whether these may be tags (constants.json ``tag_kinds``; texts as observed).

    :raises TagError: one cannot.
    """
    for tag in tags:
        if len(tag) > TAG_LENGTH:
            raise TagError(f"Tag too long (>{TAG_LENGTH} characters)")
        if not tag:
            raise TagError("Tags cannot be empty")
        if _TAG.fullmatch(tag) is None:
            raise TagError("Tag contains invalid characters")


def merged_tags(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """
    All of these tags, each once and in order.

    :raises TagError: one of the new ones cannot be a tag, or there would be too many.
    """
    added = tuple(new)
    check_tags(added)
    merged = tuple(sorted({*old, *added}))
    if len(merged) > TAGS_PER_OBJECT:
        raise TagError(f"Too many tags (>{TAGS_PER_OBJECT})")
    return merged
