"""The node agent: carries out steps for the master and reports what it sees."""
