"""Tests of `twisted_rapi.reference`."""
