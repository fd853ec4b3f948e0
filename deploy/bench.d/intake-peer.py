"""The peer of the benchmark `intake`: takes as many messages as it is told with the client of fedora-messaging.

It does what the client does for every consumer (decode, validate, acknowledge), keeps nothing, and prints what it cost.
"""

import sys
import time

from fedora_messaging import api, exceptions

COUNT = int(sys.argv[1])
seen = 0
begun = cpu = None


def take(message):
    global seen, begun, cpu
    if begun is None:
        begun, cpu = time.monotonic(), time.process_time()
    seen += 1
    if seen == COUNT:
        raise exceptions.HaltConsumer()


try:
    api.consume(take)
except exceptions.HaltConsumer:
    pass
wall, cpu = time.monotonic() - begun, time.process_time() - cpu
print(f"consumed {COUNT} cpu_us_per_message={cpu * 1e6 / COUNT:.1f} per_second={COUNT / wall:.0f}")
