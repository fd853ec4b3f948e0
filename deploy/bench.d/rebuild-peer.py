"""The peer of the benchmark `rebuild`: reads messages with the client of fedora-messaging.

The file that it is told holds the bodies of tag messages, one a line. Each is decoded and validated as the client does
for every consumer; nothing is done with it.
"""

import sys
import time
import uuid

import pika
from fedora_messaging import message

HEADERS = {"fedora_messaging_schema": "koji_fedoramessaging.tag.TagV1", "fedora_messaging_severity": 20}

with open(sys.argv[1], "rb") as lines:
    bodies = lines.read().splitlines()


def read(body):
    properties = pika.BasicProperties(
        content_encoding="utf-8",
        content_type="application/json",
        headers=dict(HEADERS),
        message_id=str(uuid.uuid4()),
    )
    return message.get_message("org.example.bench.buildsys.tag", properties, body)


# The schemas are loaded with the first message, once.
read(bodies[0])
begun, cpu = time.monotonic(), time.process_time()
for body in bodies:
    read(body)
wall, cpu = time.monotonic() - begun, time.process_time() - cpu
count = len(bodies)
print(f"read {count} cpu_us_per_message={cpu * 1e6 / count:.1f} per_second={count / wall:.0f} cpu_s={cpu:.2f}")
