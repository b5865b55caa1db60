"""Faults made on purpose: a preloaded library watches the calls of a process, lets some fail, or ends the process."""
