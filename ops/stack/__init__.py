"""Apache Kafka and Redis as real servers of this machine, without containers."""
