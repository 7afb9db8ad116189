"""Tests of twisted_rapi.jobs."""
