"""Whole masters, agents and clients in one process, on clocks and a network that go wrong as told."""
