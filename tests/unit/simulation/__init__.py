"""Tests of the whole of mastership under schedules of failures."""
