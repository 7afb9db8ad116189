"""Providers of external storage as directories."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.providers import SCRIPTS, discover
from twisted_rapi.model.seen import ProviderSeen


class DiscoverTests(SynchronousTestCase):
    """What can be used, what cannot, and why."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).resolve()

    def define(self, name: str, where: str = "one", parameters: str = "") -> Path:
        """A whole provider."""
        folder = self.base / where / name
        folder.mkdir(parents=True)
        for script in SCRIPTS:
            (folder / script).write_text("#!/bin/sh\n")
            (folder / script).chmod(0o755)
        (folder / "parameters.list").write_text(parameters)
        return folder

    def found(self) -> tuple[ProviderSeen, ...]:
        return discover([self.base / "one", self.base / "two"], {})

    def test_whole(self) -> None:
        """Its parameters are told; of two with one name the first counts."""
        folder = self.define("fast", parameters="# all\nkind  how fast\nbare\n")
        self.define("fast", where="two", parameters="other no\n")
        parameters = (("kind", "how fast"), ("bare", ""))
        self.assertEqual(self.found(), (ProviderSeen(name="fast", path=str(folder), parameters=parameters),))

    def test_invalid(self) -> None:
        """What is missing is told."""
        for part in (*SCRIPTS, "parameters.list"):
            (self.define(part, where="one") / part).unlink()
        found = {provider.name: provider.invalid for provider in self.found()}
        for part in (*SCRIPTS, "parameters.list"):
            self.assertIn(f"Required file '{part}' not found", found[part])

    def test_not_executable(self) -> None:
        """A script without any right to run cannot be, whoever asks."""
        (self.define("barred") / "attach").chmod(0o644)
        [barred] = self.found()
        self.assertIn("is not executable", barred.invalid)

    def test_simulated(self) -> None:
        """Those that a simulated node is said to have are valid; one that is found counts instead."""
        simulated = {"pvdr": {"kind": "how fast"}, "real": {}}
        folder = self.define("real")
        found = discover([self.base / "one"], simulated)
        self.assertEqual(
            found,
            (
                ProviderSeen(name="pvdr", path="simulated:pvdr", parameters=(("kind", "how fast"),)),
                ProviderSeen(name="real", path=str(folder)),
            ),
        )

    def test_nothing(self) -> None:
        """Folders that are not there have none."""
        self.assertEqual(self.found(), ())
