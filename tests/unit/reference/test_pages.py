"""The reference in ``docs/reference``."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.opcodes import OPCODES
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.reference.__main__ import main
from twisted_rapi.reference.pages import PAGES
from twisted_rapi.reference.resources import every_route
from twisted_rapi.reference.rst import words

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


class PageTests(SynchronousTestCase):
    """Pages are made from the tables, and nothing is missing in them."""

    def test_up_to_date(self) -> None:
        """What is checked in is what the tables say; ``make docs`` writes it."""
        for name, make in PAGES.items():
            self.assertEqual(
                (FOLDER / name).read_text(encoding="utf-8"),
                make(),
                f"{name}: run make docs, or python -m twisted_rapi.reference",
            )
        self.assertEqual({path.name for path in FOLDER.iterdir()}, {*PAGES, "index.rst"})

    def test_written(self) -> None:
        """The command writes all pages into a folder."""
        folder = Path(self.mktemp())
        main([str(folder)])
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted(PAGES))

    def test_whole(self) -> None:
        """Every opcode, method and kind of object has its heading."""
        opcodes, resources, fields = (
            PAGES[f"{name}.rst"]().splitlines() for name in ("opcodes", "resources", "fields")
        )
        self.assertEqual([name for name in OPCODES if name not in opcodes], [])
        methods = [f"{method} {route.pattern}" for route in every_route() for method in route.methods]
        self.assertEqual([name for name in methods if name not in resources], [])
        self.assertEqual([name for name in RESOURCES if name not in fields], [])

    def test_words(self) -> None:
        """Types in words."""
        for schema, text in (
            ({"type": "integer", "minimum": 1}, "integer from 1"),
            ({"type": "integer", "minimum": 0, "maximum": 16}, "integer from 0 to 16"),
            ({"type": "integer", "exclusiveMinimum": 0}, "integer above 0"),
            ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
            ({"type": ["string", "array"]}, "text or array"),
            ({"type": "array", "prefixItems": [{"type": "string"}, {}]}, "list (text; anything)"),
            ({"type": "array", "items": {"enum": ["a", 1]}}, 'list of one of ``"a"``, ``1``'),
            ({"type": "object", "additionalProperties": {"type": "boolean"}}, "object of boolean"),
            (
                {"type": "object", "propertyNames": {"enum": ["a", "b"]}},
                "object, keys ``a``, ``b``",
            ),
            ({"$ref": "#/components/schemas/Job"}, "Job"),
            ({"const": ""}, "empty text"),
        ):
            self.assertEqual(words(schema), text)

    @given(st.dictionaries(st.sampled_from(["type", "enum", "items", "minimum"]), st.just([1])))
    def test_any(self, schema: dict[str, list[int]]) -> None:
        """Whatever a schema is, there are words for it."""
        if schema.get("type") is None:
            self.assertTrue(words(schema))
