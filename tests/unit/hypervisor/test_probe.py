"""Which kernel is tried under KVM."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.hypervisor.probe import newest_kernel

VERSIONS = st.lists(st.tuples(*[st.integers(0, 300)] * 4), min_size=1, unique=True)


class NewestTests(SynchronousTestCase):
    """`newest_kernel`."""

    @given(VERSIONS)
    def test_versions(self, versions: list[tuple[int, ...]]) -> None:
        """Numbers compare as numbers."""
        kernels = [Path("/boot/vmlinuz-{}.{}.{}-{}-cloud-amd64".format(*v)) for v in versions]
        self.assertEqual(newest_kernel(kernels), dict(zip(versions, kernels, strict=True))[max(versions)])

    def test_order(self) -> None:
        """Candidates for a release come before it; a later build of a release after it."""
        names = ["6.1.0-rc2-amd64", "6.1.0-rc10-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.10.0-1-amd64"]
        for n in range(1, len(names) + 1):
            chosen = newest_kernel(Path(f"/boot/vmlinuz-{name}") for name in reversed(names[:n]))
            self.assertEqual(chosen, Path(f"/boot/vmlinuz-{names[n - 1]}"))

    def test_none(self) -> None:
        """Without kernels there is none."""
        self.assertIsNone(newest_kernel([]))
