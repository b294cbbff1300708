"""Replaying the log to find out whether Redis and the published changes are what it leads to."""
