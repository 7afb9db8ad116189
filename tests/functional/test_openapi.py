"""The API's document, judged by a validator of others."""

import json

from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.answers import encode
from twisted_rapi.web.openapi.document import document
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2


class DocumentTests(SynchronousTestCase):
    """``/2/openapi.json``."""

    def test_valid(self) -> None:
        """It is a valid OpenAPI 3.1 document."""
        found = json.loads(encode(document((*ROUTES, *ROUTES_OF_1_2))))
        validate(found, cls=OpenAPIV31SpecValidator)
