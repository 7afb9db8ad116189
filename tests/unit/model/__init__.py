"""Tests of twisted_rapi.model."""
