"""Tests of `twisted_rapi.web.pvc`."""
