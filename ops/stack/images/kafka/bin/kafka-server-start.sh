#!/bin/bash
# Run a node with the settings of a file.
set -eu

export KAFKA_HEAP_OPTS="${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}"
export KAFKA_LOG4J_FILE=/opt/kafka/config/log4j2.yaml
exec /opt/kafka/bin/kafka-run-class.sh -XX:+ExitOnOutOfMemoryError kafka.Kafka "$@"
