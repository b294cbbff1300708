#!/bin/bash
# Run a class of Kafka's in place of this process, with an archive of the classes it loads if there
# is one: that halves the start.
set -eu

for class in "$@"; do
    [[ $class == -* ]] || break
done
archive=/opt/kafka/$class.jsa
options=()
[[ ! -e $archive ]] || options=("-XX:SharedArchiveFile=$archive" -Xlog:cds=off)
# An archive is good for one class path; a wildcard's order would be the folder's.
class_path=$(printf '%s:' /opt/kafka/libs/*.jar)

# shellcheck disable=SC2086 # options are words
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -Djava.awt.headless=true \
    "-Dlog4j2.configurationFile=${KAFKA_LOG4J_FILE:-/etc/kafka/docker/tools-log4j2.yaml}" \
    "${options[@]}" ${KAFKA_OPTS:-} -cp "$class_path" "$@"
