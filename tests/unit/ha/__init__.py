"""Tests of twisted_rapi.ha."""
