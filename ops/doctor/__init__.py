"""Checks of an installation: what is found, whether it is as it must be, and how to mend it."""
