"""Tests of twisted_rapi.state."""
