"""
A lab: nodes, a client and a switch as network namespaces of one machine, with faults to be caused.

Note [Trace].  All that a lab makes outside of its folder is found by the lab's name: its namespaces (and by
them every process and link), its mounts (their source is the name), its folder (``/tmp/NAME``).  So another
process can take it down when the one that set it up was killed (`twisted_rapi.testing.lab.removal`).
"""
