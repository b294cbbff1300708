"""A Kafka broker and a Redis server that need no installation: for trying out and for tests."""
