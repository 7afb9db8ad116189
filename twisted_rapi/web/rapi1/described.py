"""What is told of the resources of version 1.2."""

from collections.abc import Mapping

from twisted_rapi.web.doc import NAMES, TEXT, Argument, Doc, Schema

_WHOLE: Schema = {"type": "integer"}
_YES: Schema = {"type": "boolean"}
_TYPES: Mapping[str, Schema] = {
    "text": TEXT,
    "text?": {"type": ["string", "null"]},
    "int": _WHOLE,
    "int?": {"type": ["integer", "null"]},
    "bool": _YES,
    "bool?": {"type": ["boolean", "null"]},
    "names": NAMES,
    "any": {},
}


def _object(fields: str) -> Schema:
    """An object; `fields` has pairs of name and type, separated by blanks."""
    words = fields.split()
    properties = {name: _TYPES[kind] for name, kind in zip(words[::2], words[1::2], strict=True)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_OF_INFO = _object(
    "name text software_version text protocol_version int config_version int os_api_version int"
    " export_version int master text architecture names hypervisor_type text"
)
_OF_INSTANCE = _object(
    "name text os text pnode text snodes names admin_state bool admin_ram int disk_template text ip text?"
    " mac text? bridge text? sda_size int? sdb_size int? vcpus int oper_state bool? status text tags names"
    " auto_balance bool network_port int? hvm_boot_order text hvm_acpi any hvm_pae any"
    " hvm_cdrom_image_path text hvm_nic_type text hvm_disk_type text kernel_path text initrd_path text"
    " vnc_bind_address text"
)
_OF_NODE = _object(
    "name text dtotal int? dfree int? mtotal int? mnode int? mfree int? pinst_cnt int sinst_cnt int"
    " tags names ctotal int? cnodes int? csockets int?"
)
_BULK = (Argument("bulk", "If it is there, all about each"),)


def _list(what: str, schema: Schema) -> Doc:
    return Doc(
        summary=f"List the {what}, as version 1.2 does.",
        answer="Name and URI of each; with bulk all about each",
        schema={"type": "array", "items": {"anyOf": [_object("name text uri text"), schema]}},
        query=_BULK,
    )


INFO = Doc(summary="Show the cluster, as version 1.2 does.", answer="All about the cluster", schema=_OF_INFO)
INSTANCES = _list("instances", _OF_INSTANCE)
INSTANCE = Doc(
    summary="Show one instance, as version 1.2 does.", answer="All about the instance", schema=_OF_INSTANCE
)
NODES = _list("nodes", _OF_NODE)
NODE = Doc(summary="Show one node, as version 1.2 does.", answer="All about the node", schema=_OF_NODE)
OSES = Doc(
    summary="List the OS definitions, as version 1.2 does.",
    answer="Their names, without variants",
    schema=NAMES,
)
TAGS = Doc(summary="Show the tags, as version 1.2 does.", answer="The tags, sorted", schema=NAMES)
