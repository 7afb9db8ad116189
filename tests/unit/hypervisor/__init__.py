"""Tests of what hypervisors are told."""
