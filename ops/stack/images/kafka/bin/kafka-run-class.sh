#!/bin/bash
# Run a class of Kafka's in place of this process.
set -eu

# shellcheck disable=SC2086 # options are words
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -Djava.awt.headless=true \
    "-Dlog4j2.configurationFile=${KAFKA_LOG4J_FILE:-/etc/kafka/docker/tools-log4j2.yaml}" \
    ${KAFKA_OPTS:-} -cp "/opt/kafka/libs/*" "$@"
