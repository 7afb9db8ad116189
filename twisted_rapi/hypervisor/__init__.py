"""What runs machines on a node: libvirt and the simulated one."""
