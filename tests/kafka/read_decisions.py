"""Prints a topic as a stranger reads it, with confluent-kafka and its own Avro deserialiser.

    python read_decisions.py BROKERS REGISTRY_URL TOPIC

One JSON object per line: partition, offset, key, value. Knows nothing of this product but the
addresses; amounts (Avro decimals) and times are printed as text.
"""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

PATIENCE_SECONDS = 60


def main(brokers: str, registry_url: str, topic: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "a-stranger",
            "enable.auto.commit": False,
        }
    )
    deserialise = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    context = SerializationContext(topic, MessageField.VALUE)
    ends = {}
    found = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic]
    for partition in found.partitions:
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)
        if high > low:
            ends[partition] = high
    consumer.assign([TopicPartition(topic, place, OFFSET_BEGINNING) for place in ends])
    while ends:
        message = consumer.poll(PATIENCE_SECONDS)
        if message is None:
            sys.exit(f"nothing came, and these are to be read: {ends}")
        if message.error():
            sys.exit(str(message.error()))
        record = {
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode(),
            "value": deserialise(message.value(), context),
        }
        print(json.dumps(record, default=str))
        if message.offset() + 1 >= ends[message.partition()]:
            del ends[message.partition()]
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
