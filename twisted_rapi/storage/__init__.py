"""What keeps the disks of machines on a node."""
