"""What was done to the recorded cluster between two requests, by other means than requests."""

from collections.abc import Callable, Mapping

from tests.conformance.world import World

INTERLUDES: Mapping[tuple[str, int], Callable[[World], None]] = {
    ("15_require_auth", 0): lambda world: world.require_authentication(True),
    ("15_require_auth", 46): lambda world: world.require_authentication(False),
    ("16_down", 0): lambda world: world.stop_node(3),
    ("16_down", 6): lambda world: world.start_node(3),
}
