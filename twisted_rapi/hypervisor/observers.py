"""Who is told when a domain changes."""

from collections.abc import Callable

from twisted_rapi.model.seen import DomainSeen

Observer = Callable[[str, DomainSeen | None], None]


class Observers:
    """What `IHypervisor.observe` adds to."""

    def __init__(self) -> None:
        self._entries: dict[object, Observer] = {}

    def add(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` from now on; answers how to end that, which may be called again."""
        entry = object()
        self._entries[entry] = observer

        def end() -> None:
            self._entries.pop(entry, None)

        return end

    def tell(self, name: str, seen: DomainSeen | None) -> None:
        """Tell everybody."""
        for observer in tuple(self._entries.values()):
            observer(name, seen)
