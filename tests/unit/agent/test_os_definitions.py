"""OS definitions as directories (behaviour.md §8)."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.os_definitions import discover, split
from twisted_rapi.model.seen import OsSeen

SCRIPTS = ("create", "import", "export", "rename", "verify")


class SplitTests(SynchronousTestCase):
    """Names with variants."""

    @given(st.text(alphabet="ab.-_"), st.text(alphabet="ab+.-_"))
    def test_split(self, name: str, variant: str) -> None:
        """The first plus sign divides."""
        self.assertEqual(split(f"{name}+{variant}"), (name, variant))
        self.assertEqual(split(name), (name, ""))


class DiscoverTests(SynchronousTestCase):
    """What can be used, what cannot, and why."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).resolve()
        self.base.mkdir()

    def define(self, name: str, versions: str = "20\n", where: str = "os", **files: str) -> Path:
        """A whole definition of API 20."""
        folder = self.base / where / name
        folder.mkdir(parents=True)
        for script in SCRIPTS:
            (folder / script).write_text("#!/bin/sh\n")
            (folder / script).chmod(0o755)
        (folder / "ganeti_api_version").write_text(versions)
        (folder / "parameters.list").write_text(files.get("parameters", ""))
        if "variants" in files:
            (folder / "variants.list").write_text(files["variants"])
        return folder

    def one(self) -> OsSeen:
        [found] = discover([self.base / "os"])
        return found

    def test_whole(self) -> None:
        """Everything a definition says of itself is told."""
        folder = self.define(
            "deb",
            "10\n20\n99\n",
            variants="# all\n\n bookworm \ntrixie\n",
            parameters="# none\ndhcp   whether it asks\nbare\n",
        )
        self.assertEqual(
            self.one(),
            OsSeen(
                name="deb",
                path=str(folder),
                api_versions=(10, 20, 99),
                variants=("bookworm", "trixie"),
                parameters=(("dhcp", "whether it asks"), ("bare", "")),
            ),
        )

    def test_levels(self) -> None:
        """Which files count follows from the highest version that is known."""
        folder = self.define("a", "10\n", variants="v\n", parameters="p x\n")
        (folder / "verify").unlink()
        self.assertEqual((self.one().invalid, self.one().variants, self.one().parameters), ("", (), ()))
        (folder / "ganeti_api_version").write_text("15\n10\n")
        self.assertEqual((self.one().invalid, self.one().variants, self.one().parameters), ("", ("v",), ()))
        (folder / "ganeti_api_version").write_text("20\n15\n")
        self.assertIn("'verify' not found", self.one().invalid)

    def test_invalid(self) -> None:
        """Whatever is wrong is said, and nothing of such a definition is offered."""
        for n, (file, content, words) in enumerate(
            (
                ("rename", None, "'rename' not found"),
                ("verify", None, "'verify' not found"),
                ("parameters.list", None, "'parameters.list' not found"),
                ("parameters.list", b"\xff x\n", "utf-8"),
                ("ganeti_api_version", None, "'ganeti_api_version' not found"),
                ("ganeti_api_version", b"20\nnew\n", "integer"),
                ("ganeti_api_version", b"5\n", "API version mismatch"),
                ("ganeti_api_version", b"", "API version mismatch"),
            )
        ):
            broken = self.define("a", where=f"os{n}") / file
            if content is None:
                broken.unlink()
            else:
                broken.write_bytes(content)
            [found] = discover([broken.parent.parent])
            self.assertIn(words, found.invalid)
            self.assertEqual((found.api_versions, found.variants, found.parameters), ((), (), ()))

    def test_not_executable(self) -> None:
        """A script nobody may run."""
        (self.define("a") / "create").chmod(0o644)
        self.assertIn("'create' under path", self.one().invalid)

    def test_untrusted(self) -> None:
        """The other form of create makes it untrusted; with both it is trusted."""
        folder = self.define("a")
        (folder / "create_untrusted").write_text("#!/bin/sh\n")
        (folder / "create_untrusted").chmod(0o755)
        self.assertTrue(self.one().trusted)
        (folder / "create").unlink()
        self.assertEqual((self.one().invalid, self.one().trusted), ("", False))

    def test_names(self) -> None:
        """Only directories with names that can be told and meant; the rest does no harm."""
        self.define("plus+minus")
        self.define(".hidden")
        (self.base / "os/file").write_text("")
        (self.base / "os/dangling").symlink_to("nowhere")
        (self.base / "os/loop").symlink_to("loop")
        os.mkdir(os.fsencode(self.base / "os") + b"/\xff\xfe")
        self.assertEqual(self.one().name, "plus+minus")
        self.assertIn("variant", self.one().invalid)

    def test_order(self) -> None:
        """The first directory that has a name wins, even when it has an unusable one; all are sorted."""
        first = self.define("b", "5\n", where="first")
        self.define("b", where="second")
        self.define("a", where="second")
        paths = [self.base / "absent", self.base / "first", self.base / "second"]
        found = discover(paths)
        self.assertEqual([o.name for o in found], ["a", "b"])
        self.assertEqual(found[1].path, str(first))
        self.assertNotEqual(found[1].invalid, "")
