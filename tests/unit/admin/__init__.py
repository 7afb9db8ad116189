"""Tests of twisted_rapi.admin."""
