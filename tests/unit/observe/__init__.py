"""Tests of twisted_rapi.observe."""
