"""RBD images as QEMU names them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.rbd import NAME, RbdImage, image, uri

_names = st.from_regex(NAME, fullmatch=True)
_words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


class UriTests(SynchronousTestCase):
    """The text of an image."""

    @given(_names, _names, _words.filter(lambda user: user != "admin"), _words, st.lists(_names, max_size=3))
    def test_round_trip(self, pool: str, name: str, user: str, conf: str, hosts: list[str]) -> None:
        """What is written is read again, whatever is in it."""
        whole = RbdImage(pool=pool, name=name, user=user, conf=conf, monitors=tuple(hosts))
        self.assertEqual(image(uri(whole)), whole)

    @given(st.text())
    def test_any(self, text: str) -> None:
        """Any other text is no image, or is understood in full."""
        found = image("rbd:" + text)
        if found is not None:
            self.assertEqual(image(uri(found)), found)
        self.assertIsNone(image("/dev/rbd/" + text))

    def test_odd(self) -> None:
        """A backslash before nothing, options that are none, and half an image."""
        self.assertIsNone(image("rbd:\\"))
        self.assertEqual(image("rbd:a/b\\"), RbdImage(pool="a", name="b\\"))
        for text in ("rbd:", "rbd:a", "rbd:/b", "rbd:a/", "rbd:a/b:snap=x", "rbd:a/b:"):
            self.assertIsNone(image(text), text)

    def test_as_qemu(self) -> None:
        """Special letters have a backslash before them; the usual user is not mentioned."""
        monitors = ("10.0.0.1:6789", "10.0.0.2")
        whole = RbdImage(pool="vms", name="a", user="kvm", conf="/etc/a:b.conf", monitors=monitors)
        told = r"rbd:vms/a:id=kvm:conf=/etc/a\:b.conf:mon_host=10.0.0.1\:6789,10.0.0.2"
        self.assertEqual(uri(whole), told)
        self.assertEqual(uri(RbdImage(pool="vms", name="a", user="admin")), "rbd:vms/a")

    def test_names(self) -> None:
        """No name is an option, a path, a snapshot or empty."""
        for bad in ("", "-x", ".", "..", "a/b", "a@b", "a b", "a:b", "ä", "a\n", "x" * 129):
            self.assertIsNone(NAME.fullmatch(bad), bad)
