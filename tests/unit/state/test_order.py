"""Tests of `twisted_rapi.state.order`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan.fields.base import natural
from twisted_rapi.state.order import NaturalOrder

NAMES = st.sampled_from(["web1", "web2", "web10", "db", "10", "9a", "", "web01"])


class NaturalOrderTests(SynchronousTestCase):
    """The order is that of sorting anew."""

    def test_as_sorted(self) -> None:
        """After any coming, going and renaming, of one name for several too."""
        self.check()

    @given(st.lists(st.tuples(st.booleans(), NAMES, st.sampled_from("abc"))))
    def check(self, acts: list[tuple[bool, str, str]]) -> None:
        order = NaturalOrder()
        names: dict[str, str] = {}
        for stays, name, uuid in acts:
            order.remove(names.pop(uuid, "none"), uuid)
            if stays:
                order.add(name, uuid)
                names[uuid] = name
        expected = sorted(names, key=lambda uuid: (natural(names[uuid]), uuid))
        self.assertEqual(order.uuids, expected)
