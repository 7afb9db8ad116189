"""The reference, made from the tables the program works by: ``python -m twisted_rapi.reference``."""
