"""Schemas of the messages that Muster sends, for consumers that use fedora-messaging.

The JSON schemas beside this file are the contract; these classes make them known to the client, and add the
sentences that people read in mails and on pages.
"""

import json
from importlib import resources

from fedora_messaging import message


def _schema(name):
    text = resources.files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text)


class _MusterMessage(message.Message):
    """What all messages of Muster have in common."""

    severity = message.INFO

    @property
    def app_name(self):
        return "Muster"

    @property
    def candidate(self):
        """The candidate's id."""
        return self.body["subject"]["candidate"]

    @property
    def recipe(self):
        """The recipe's name."""
        return self.body["subject"]["recipe"]

    @property
    def version(self):
        """The release's version."""
        return self.body["subject"]["version"]

    def __str__(self):
        return self.summary


class BuildCompleteV1(_MusterMessage):
    """A build is over."""

    topic = "muster.build.complete"
    body_schema = _schema("muster.build.complete.v1")

    @property
    def summary(self):
        names = ", ".join(artifact["name"] for artifact in self.body["artifacts"])
        return f"{self.candidate} was built for {self.body['arch']}: {names}"


class SmoketestCompleteV1(_MusterMessage):
    """A boot is over."""

    topic = "muster.smoketest.complete"
    body_schema = _schema("muster.smoketest.complete.v1")

    @property
    def summary(self):
        passed, failed, not_run = (len(self.body[key]) for key in ("green", "red", "not_run"))
        return (
            f"{self.candidate} was tested in {self.body['cell']}: "
            f"{passed} passed, {failed} failed, {not_run} did not run"
        )


class CandidateVerdictV1(_MusterMessage):
    """The gate has spoken."""

    topic = "muster.candidate.verdict"
    body_schema = _schema("muster.candidate.verdict.v1")

    @property
    def summary(self):
        words = {"pass": "passes muster", "fail": "does not pass muster", "cannot_tell": "could not be judged"}
        return f"{self.candidate} {words[self.body['ruling']]}"


class ImagePublishedV1(_MusterMessage):
    """A release is public at one destination."""

    topic = "muster.image.published"
    body_schema = _schema("muster.image.published.v1")

    @property
    def summary(self):
        return f"{self.recipe} {self.version} is at {self.body['destination']['name']}"


class StreamPromotedV1(_MusterMessage):
    """A stream points at a new release."""

    topic = "muster.stream.promoted"
    body_schema = _schema("muster.stream.promoted.v1")

    @property
    def summary(self):
        return f"{self.body['stream']} of {self.recipe} is now {self.version}"


class CandidateEndedV1(_MusterMessage):
    """A candidate ended without being published."""

    topic = "muster.candidate.ended"
    body_schema = _schema("muster.candidate.ended.v1")

    @property
    def summary(self):
        return f"{self.candidate} ended: {self.body['outcome']}: {self.body['reason']}"
