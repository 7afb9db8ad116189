"""Fakes, contract suites and strategies: part of the package, held to the same contracts."""
