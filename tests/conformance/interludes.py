"""What was done to the recorded cluster between two requests, by other means than requests."""

from collections.abc import Callable, Mapping

from tests.conformance.world import World

TAGS = "/2/tags"
INST1 = "/2/instances/inst1.gnt.example/tags"

# Tags that only this cluster takes from a JSON list are taken back.
INTERLUDES: Mapping[tuple[str, int], Callable[[World], None]] = {
    ("12_tags", 6): lambda world: world.remove_tags(TAGS, ["three", "four"]),
    ("12_tags", 13): lambda world: world.remove_tags(TAGS, ["seven"]),
    ("12_tags", 47): lambda world: world.remove_tags(INST1, ["b"]),
    ("15_require_auth", 0): lambda world: world.require_authentication(True),
    ("15_require_auth", 46): lambda world: world.require_authentication(False),
    ("16_down", 0): lambda world: world.stop_node(3),
    ("16_down", 6): lambda world: world.start_node(3),
}
