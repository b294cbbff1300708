"""The in-memory broker in a process of its own, so that its CPU seconds can be told apart.

`python -m ops.bench.embedded_broker '{"topic": partitions}'` prints its address and lives until its
standard input ends.
"""

from __future__ import annotations

import json
import sys

from ops.embedded.kafka_broker import EmbeddedKafka


def main() -> None:
    """Serve until nobody listens any more."""
    with EmbeddedKafka() as broker:
        sys.stdout.write(broker.bootstrap + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            name, partitions = json.loads(line)
            broker.create_topic(name, partitions)
            sys.stdout.write(name + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
