"""Tests of twisted_rapi.agent."""
