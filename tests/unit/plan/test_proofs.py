"""What proves that two clusters share a secret."""

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan import proofs
from twisted_rapi.plan.proofs import Destination, Unproven
from twisted_rapi.testing.certificates import self_signed

NOW = 1_795_230_105.0
CERTIFICATE = self_signed("node1.example.com")

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
SALTS = st.text("0123456789abcdefXYZ", min_size=1, max_size=20)
WORDS = st.text("abcxyz0189.-", min_size=1, max_size=30)
PLACES = st.builds(Destination, WORDS, st.integers(1, 65535), WORDS)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


class ProofTests(SynchronousTestCase):
    """Hashes, handshakes, key names, certificates, destinations."""

    def test_field_form(self) -> None:
        """A handshake made by a cluster of the field is accepted (its form as observed)."""
        salt = "4d5031e9ea48da4a"
        known = proofs.handshake("secret", salt)
        self.assertEqual(known, [0, proofs.digest("secret", "0:Hi, I'm Ganeti", salt), salt])
        self.assertEqual(len(known[1]), 40)

    @given(secret=TEXTS, other=TEXTS, text=TEXTS, salt=SALTS, index=st.integers(0, 15), place=PLACES)
    def test_taken(
        self, secret: str, other: str, text: str, salt: str, index: int, place: Destination
    ) -> None:
        """What is made with a secret is taken with it, and with no other."""
        proofs.check_handshake(secret, proofs.handshake(secret, salt))
        self.assertEqual(proofs.key_name_of(secret, proofs.key_name(secret, text, salt)), text)
        told = proofs.destination(secret, index, place, salt)
        self.assertEqual(proofs.destination_of(secret, index, told), place)
        with_text = [told[0], str(told[1]), *told[2:]]
        self.assertEqual(proofs.destination_of(secret, index, with_text), place)
        signed = proofs.signed(secret, CERTIFICATE, salt)
        for form in (signed, signed.replace("\n", "\r\n"), signed.rstrip(), f"{signed}\nmore"):
            self.assertEqual(proofs.certificate_of(secret, form, NOW), CERTIFICATE)
        assume(other != secret)
        wrong: tuple[Callable[[], object], ...] = (
            lambda: proofs.check_handshake(other, proofs.handshake(secret, salt)),
            lambda: proofs.key_name_of(other, proofs.key_name(secret, text, salt)),
            lambda: proofs.destination_of(other, index, told),
            lambda: proofs.destination_of(secret, index + 1, told),
            lambda: proofs.certificate_of(other, signed, NOW),
        )
        for work in wrong:
            self.assertRaises(Unproven, work)

    @given(given=st.lists(JSON, max_size=6), text=TEXTS)
    def test_anything(self, given: list[Any], text: str) -> None:
        """Whatever is given that is no proof is refused as such."""
        wrong: tuple[Callable[[], object], ...] = (
            lambda: proofs.check_handshake("secret", given),
            lambda: proofs.key_name_of("secret", given),
            lambda: proofs.destination_of("secret", 0, given),
            lambda: proofs.certificate_of("secret", text, NOW),
        )
        for work in wrong:
            self.assertRaises(Unproven, work)

    def test_no_secret(self) -> None:
        """A cluster without a secret is convinced by nobody."""
        self.assertRaises(Unproven, proofs.check_handshake, "", proofs.handshake("", "salt"))

    def test_certificate(self) -> None:
        """The signature is of the certificate that follows it, and that is one, and valid."""
        other = self_signed("other")
        signed = proofs.signed("secret", CERTIFICATE, "salt")
        broken = CERTIFICATE.replace("\nMII", "\nAAAA", 1)
        broken = broken if broken != CERTIFICATE else CERTIFICATE[:40] + "????" + CERTIFICATE[44:]
        for text, why in (
            (signed.replace(CERTIFICATE, other), "signature is wrong"),
            (CERTIFICATE, "no certificate with a signature"),
            (f"{CERTIFICATE}{signed.partition(chr(10))[0]}\n", "no certificate with a signature"),
            (proofs.signed("secret", broken, "salt"), "cannot be read"),
            (proofs.signed("secret", self_signed("n", 2001, 2002), "s"), "no longer valid since 2002-01-01"),
            (proofs.signed("secret", self_signed("n", 2100, 2101), "s"), "not valid before 2100-01-01"),
        ):
            self.assertRegex(
                str(self.assertRaises(Unproven, proofs.certificate_of, "secret", text, NOW)), why
            )
