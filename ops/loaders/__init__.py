"""Readers of purchase files: each yields transactions in time order."""
