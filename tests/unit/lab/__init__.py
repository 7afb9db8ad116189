"""The lab: what of it is pure."""
