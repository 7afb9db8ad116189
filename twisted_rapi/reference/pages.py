"""The pages there are."""

from collections.abc import Callable, Mapping

from twisted_rapi.reference.fields import fields
from twisted_rapi.reference.opcodes import opcodes
from twisted_rapi.reference.parameters import parameters
from twisted_rapi.reference.pvc import pvc
from twisted_rapi.reference.resources import resources

PAGES: Mapping[str, Callable[[], str]] = {
    "fields.rst": fields,
    "opcodes.rst": opcodes,
    "parameters.rst": parameters,
    "pvc.rst": pvc,
    "resources.rst": resources,
}
"""By file name."""
