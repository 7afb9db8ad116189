"""Tests of twisted_rapi.cluster."""
