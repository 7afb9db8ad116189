"""Tests of `twisted_rapi.plan.pvc`."""
