"""A VM cluster that speaks the Ganeti remote API, as ``twistd`` plug-ins."""
