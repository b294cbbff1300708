"""Reading stretches of a log: which assignments the consumer gets."""

from ops.verify.log import LogReader
from streams.settings import Settings


class Consumer:
    """Assigned, never asked for records."""

    def __init__(self):
        self.assigned = []

    def assign(self, tps):
        self.assigned.append(tps)


async def test_stretch_without_records_leaves_the_consumer_as_it_is():
    consumer = Consumer()
    reader = LogReader(consumer, consumer, Settings.model_construct())
    assert [batch async for batch in reader.read("transactions", {0: (7, 7), 1: (0, 0)})] == []
    assert consumer.assigned == []
