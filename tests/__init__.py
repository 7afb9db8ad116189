"""Tests of twisted_rapi."""
