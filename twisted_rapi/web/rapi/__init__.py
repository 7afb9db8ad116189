"""The Ganeti remote API, version 2."""
