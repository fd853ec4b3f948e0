"""Consumes with the client of fedora-messaging, validation and all, and prints each message as a line of JSON."""

import json
import sys

from fedora_messaging import api, exceptions

LEFT = int(sys.argv[1])


def show(message):
    global LEFT
    message.validate()
    print(
        json.dumps(
            {
                "topic": message.topic,
                "id": message.id,
                "schema": type(message).__name__,
                "summary": message.summary,
                "severity": message.severity,
                "headers": message._headers,
                "body": message.body,
            }
        ),
        flush=True,
    )
    LEFT -= 1
    if LEFT == 0:
        raise exceptions.HaltConsumer()


try:
    api.consume(show)
except exceptions.HaltConsumer as halt:
    sys.exit(halt.exit_code)
