#!/usr/bin/env python3
"""Waits for what muster announces, in the file that `bus.py listen` writes.

heard.py FILE SECONDS built RECIPE...               a build of each recipe is over
heard.py FILE SECONDS passed BUILD RECIPE...        the gate passed a candidate of each, called for by the tagged BUILD
heard.py FILE SECONDS promoted RECIPE...            the stream points at a new release of each

It fails at once when the gate rejects a candidate or one ends before the gate, and in the end when the time is over.
"""

import json
import sys
import time


def read(path: str) -> list[dict]:
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def of_topic(heard: list[dict], topic: str) -> list[dict]:
    return [message["body"] for message in heard if message["topic"] == topic]


def done(heard: list[dict], what: str, build: str) -> set[str]:
    """The recipes for which it has come true."""
    if what == "built":
        bodies = of_topic(heard, "muster.build.complete")
    elif what == "passed":
        bodies = [
            body
            for body in of_topic(heard, "muster.candidate.verdict")
            if body["ruling"] == "pass" and any(build in change for change in body["changes"])
        ]
    else:
        bodies = of_topic(heard, "muster.stream.promoted")
    return {body["subject"]["recipe"] for body in bodies}


def ended_badly(heard: list[dict]) -> list[str]:
    bad = [
        f"{body['subject']['candidate']}: the gate says {body['ruling']}: {'; '.join(body['reasons'])}"
        for body in of_topic(heard, "muster.candidate.verdict")
        if body["ruling"] != "pass"
    ]
    bad += [
        f"{body['subject']['candidate']}: {body['outcome']}: {body['reason']}"
        for body in of_topic(heard, "muster.candidate.ended")
    ]
    return bad


def main() -> None:
    path, seconds, what, *rest = sys.argv[1:]
    build = rest.pop(0) if what == "passed" else ""
    wanted, limit = set(rest), time.monotonic() + float(seconds)
    while True:
        heard = read(path)
        missing = wanted - done(heard, what, build)
        bad = ended_badly(heard)
        if bad:
            sys.exit("\n".join(bad))
        if not missing:
            return
        if time.monotonic() > limit:
            sys.exit(f"{', '.join(sorted(missing))}: not {what} after {seconds} s")
        time.sleep(0.3)


if __name__ == "__main__":
    main()
