"""Tests of `twisted_rapi.web.pvc.openapi`."""

from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.web.pvc.routes import ENDPOINTS


class DocumentTests(SynchronousTestCase):
    """What is told of PVC's API."""

    def setUp(self) -> None:
        """The document, as everybody may read it."""
        browser = PvcBrowser(Path(self.mktemp()), authentication=True)
        self.addCleanup(browser.cluster.stop)
        self.document = browser.ask("GET", "/openapi.json").json()

    def test_valid(self) -> None:
        """A validator of others accepts it."""
        validate(self.document, cls=OpenAPIV31SpecValidator)

    def test_whole(self) -> None:
        """Every endpoint is in it."""
        found = {
            (path, method.upper()) for path, methods in self.document["paths"].items() for method in methods
        }
        wanted = {(f"/api/v1{e.path}".replace("<", "{").replace(">", "}"), e.method) for e in ENDPOINTS}
        self.assertEqual(found - {("/api/v1/openapi.json", "GET")}, wanted)

    def test_values(self) -> None:
        """Values tell which forms know them, and who needs them all."""
        change = self.document["paths"]["/api/v1/node/{node}/coordinator-state"]["post"]
        told = {each["name"]: each.get("description", "") for each in change["parameters"]}
        self.assertEqual(told["coordinator-state"], "What it is to be (seed only)")
        self.assertEqual(told["state"], "What it is to be (0.6, 1.0 only)")
        change = self.document["paths"]["/api/v1/status"]["post"]
        self.assertEqual(change["description"], "Needed: state.")
        self.assertEqual(
            change["summary"], "Have nothing done by itself for 30 days, or again. (0.6, 1.0 only)"
        )
        self.assertEqual(self.document["paths"]["/api/v1"]["get"]["security"], [])
