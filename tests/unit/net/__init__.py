"""Tests of `twisted_rapi.net`."""
