"""Benchmarks of the program against what a user would pick instead: ``make bench``."""
