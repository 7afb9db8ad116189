"""Contract suites: one per interface, run on every implementation."""
