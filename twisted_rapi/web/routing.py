"""From paths to routes.  URIs are matched as they were received, without decoding."""

import re
from collections.abc import Mapping, Sequence

from twisted_rapi.errors import NotFound
from twisted_rapi.web.call import Route

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NUMBER = re.compile(r"[0-9]{1,40}")


class Routes:
    """Finds the route of a path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._plain = {r.pattern: r for r in routes if "[" not in r.pattern}
        self._patterns: dict[int, list[tuple[list[str], Route]]] = {}
        for route in routes:
            if "[" in route.pattern:
                parts = route.pattern.split("/")
                self._patterns.setdefault(len(parts), []).append((parts, route))

    def find(self, path: str) -> tuple[Route, Mapping[str, str]]:
        """
        The route, and what stands for its names.

        :raises NotFound: there is none.
        """
        plain = self._plain.get(path)
        if plain is not None:
            return plain, {}
        given = path.split("/")
        for parts, route in self._patterns.get(len(given), []):
            names = _match(parts, given)
            if names is not None:
                return route, names
        raise NotFound


def _match(parts: list[str], given: list[str]) -> dict[str, str] | None:
    names = {}
    for part, text in zip(parts, given, strict=True):
        if part.startswith("["):
            form = _NUMBER if part in ("[job_id]", "[disk_index]") else _NAME
            if not form.fullmatch(text):
                return None
            names[part[1:-1]] = text
        elif part != text:
            return None
    return names
