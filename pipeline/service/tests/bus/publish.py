"""Publishes the messages that come as lines of JSON on standard input, with the client of fedora-messaging."""

import json
import sys

from fedora_messaging import api, message

for line in sys.stdin:
    told = json.loads(line)
    sent = message.Message(topic=told["topic"], body=told["body"], severity=told.get("severity", 20))
    api.publish(sent, timeout=20)
    print(json.dumps({"id": sent.id}), flush=True)
