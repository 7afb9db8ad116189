"""HTTP: sites, authentication and the dialects."""
