"""Use cases: what the API layers ask of the cluster."""
