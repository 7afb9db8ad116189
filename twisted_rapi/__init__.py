"""A VM cluster that speaks the Ganeti remote API and the PVC HTTP API, as ``twistd`` plug-ins."""

__version__ = "26.11.0.dev0"
