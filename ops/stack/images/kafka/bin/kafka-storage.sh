#!/bin/bash
# Format or describe a node's storage.
set -eu

exec /opt/kafka/bin/kafka-run-class.sh kafka.tools.StorageTool "$@"
