"""Who may do what on Kafka and Redis, and the certificates and passwords of a local stack."""
