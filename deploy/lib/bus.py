#!/usr/bin/env python3
"""The bus as the rest of the world uses it: with the fedora-messaging client.

bus.py tag AMQP PREFIX TAG NAME-VERSION-RELEASE   says what Koji says when it tags a build
bus.py listen AMQP PREFIX FILE                    writes each message of muster's into FILE, a line each
"""

import json
import sys
import zlib

from fedora_messaging import api, config, message
from koji_fedoramessaging_messages.tag import TagV1

EXCHANGE = "amq.topic"


def configure(amqp: str, prefix: str) -> None:
    config.conf.load_config("/dev/null")
    config.conf.update(
        amqp_url=amqp,
        topic_prefix=prefix,
        publish_exchange=EXCHANGE,
        client_properties=dict(config.conf["client_properties"], app="deploy/demo"),
    )


def tag(tag_name: str, build: str) -> None:
    """Publishes the message that Koji's plug-in sends, and prints its id."""
    name, version, release = build.rsplit("-", 2)
    body = {
        "base_url": "https://koji.murmur.invalid",
        "build_id": zlib.crc32(build.encode()),
        "instance": "primary",
        "name": name,
        "owner": "releng",
        "release": release,
        "tag": tag_name,
        "tag_id": 43,
        "user": "releng",
        "version": version,
    }
    sent = TagV1(topic="buildsys.tag", body=body)
    sent.validate()
    api.publish(sent, timeout=30)
    print(sent.id)


def listen(path: str, prefix: str) -> None:
    """Writes what muster announces, until it is told to stop."""
    queue = {"durable": False, "auto_delete": True, "exclusive": True, "arguments": {}}
    binding = {"exchange": EXCHANGE, "routing_keys": [f"{prefix}.muster.#"]}
    with open(path, "a", buffering=1) as lines:

        def write(heard: message.Message) -> None:
            line = {
                "topic": heard.topic.removeprefix(prefix + "."),
                "id": heard.id,
                "schema": heard._headers.get("fedora_messaging_schema"),
                "severity": heard.severity,
                "summary": heard.summary,
                "body": heard.body,
            }
            lines.write(json.dumps(line) + "\n")

        api.consume(write, bindings=[binding], queues={"": queue})


def main() -> None:
    command, amqp, prefix, *rest = sys.argv[1:]
    configure(amqp, prefix)
    if command == "tag":
        tag(*rest)
    elif command == "listen":
        listen(*rest, prefix)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
