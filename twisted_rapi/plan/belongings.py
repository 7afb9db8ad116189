"""The records that come and go with an instance."""

from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.view import View


def records_of(view: View, instance: InstanceRecord) -> tuple[Record, ...]:
    """Its own record first, then what is kept of it for PVC's API, if anything is."""
    machine = view.machines.get(instance.uuid)
    return (instance,) if machine is None else (instance, machine)
