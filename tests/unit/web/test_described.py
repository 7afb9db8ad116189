"""Everything clients can ask for is described, in words and in types."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.answers import BULK
from twisted_rapi.model.opcodes import OPCODES
from twisted_rapi.model.opcodes.described import PARAMETERS, description
from twisted_rapi.model.opcodes.described_own import SPECIAL
from twisted_rapi.model.opcodes.results import RESULTS
from twisted_rapi.plan.fields import cluster, job, node, rule
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.web.doc import headline, parameter, parameters
from twisted_rapi.web.openapi.components import field_schema
from twisted_rapi.web.openapi.document import NAMED, REFUSALS, statuses
from twisted_rapi.web.rapi.described import DESCRIBED
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2

EVERY = (*ROUTES, *ROUTES_OF_1_2)


class DescribedTests(SynchronousTestCase):
    """Nothing is without its text."""

    def test_opcodes(self) -> None:
        """Each opcode has a headline, each of its parameters a text, and its result both."""
        for name, opcode in OPCODES.items():
            self.assertTrue(headline(opcode).endswith("."), name)
            for field in msgspec.structs.fields(opcode):
                self.assertTrue(description(name, field.name).strip(), (name, field.name))
        self.assertEqual(set(RESULTS), set(OPCODES))
        self.assertEqual([name for name, result in RESULTS.items() if not result.doc], [])

    def test_no_leftovers(self) -> None:
        """No text is about a parameter that is not there, or one that is said already."""
        known = {name: set(parameters(opcode)) for name, opcode in OPCODES.items()}
        self.assertEqual(set(PARAMETERS) - set().union(*known.values()), set())
        self.assertEqual([key for key in SPECIAL if key[1] not in known.get(key[0], ())], [])
        self.assertEqual([key for key, text in SPECIAL.items() if text == PARAMETERS.get(key[1])], [])

    def test_resources(self) -> None:
        """Each method of each URI has a summary, arguments and a body that say what they are."""
        for route in EVERY:
            for method, endpoint in route.methods.items():
                name = f"{method} {route.pattern}"
                doc = endpoint.described()
                self.assertTrue(doc.summary.endswith("."), name)
                self.assertTrue(doc.answer, name)
                self.assertEqual([a.name for a in doc.query if not a.doc], [], name)
                self.assertEqual(set(statuses(route, endpoint)) - set(REFUSALS), set(), name)
                properties = {} if doc.body is None else doc.body.schema.get("properties", {})
                self.assertEqual([p for p, s in properties.items() if not s.get("description")], [], name)

    def test_table(self) -> None:
        """What the table tells of is there."""
        served = {f"{method} {route.pattern}" for route in ROUTES for method in route.methods}
        self.assertEqual(set(DESCRIBED) - served, set())

    def test_uris(self) -> None:
        """What stands in a URI for a name is described."""
        names = {part[1:-1] for r in EVERY for part in r.pattern.split("/") if part.startswith("[")}
        self.assertEqual(names - set(NAMED), set())

    def test_keys(self) -> None:
        """Where an object's keys are known, the document says which."""
        for name, path in (("nics", "items"), ("diskparams", "")):
            opcode = OPCODES["OP_INSTANCE_CREATE" if name == "nics" else "OP_GROUP_ADD"]
            schema = parameter(opcode, parameters(opcode)[name])
            inner = schema[path] if path else schema["anyOf"][0]
            self.assertIn("link" if name == "nics" else "drbd", inner["propertyNames"]["enum"])

    def test_fields(self) -> None:
        """Each field of a query has a title and a text, each of an answer its type too."""
        for resource in RESOURCES.values():
            for field in resource.fields.values():
                self.assertTrue(field.title and field.doc, (resource.name, field.name))
        for fields in (*BULK.values(), cluster.FIELDS, node.SINGLE, job.FIELDS, rule.TABLE):
            for field in fields:
                self.assertTrue(field_schema(field)["description"], field.name)
