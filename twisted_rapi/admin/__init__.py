"""The ``rapi-admin`` command."""
