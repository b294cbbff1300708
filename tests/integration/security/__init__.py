"""Kafka and Redis behind locks, for real."""
