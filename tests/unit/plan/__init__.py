"""Tests of twisted_rapi.plan."""
