"""PVC's HTTP API, below ``/api/v1``: one module per family of URIs."""
