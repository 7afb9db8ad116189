"""Pure values of the cluster and their laws: no I/O, no clock, no Twisted."""
