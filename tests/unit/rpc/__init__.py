"""Tests of twisted_rapi.rpc."""
