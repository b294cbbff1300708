"""Dead letters: a record that could not be counted, with its original bytes and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from schemas.errors import PipelineError

HEADER_PREFIX = "__everscore.error."
Header = tuple[str, bytes | None]
"""Name and value; Kafka knows values that are absent, which are not empty ones."""


class DeadLetter(BaseModel):
    """Why and where a record failed; carried as headers beside its own key, value and headers."""

    model_config = ConfigDict(frozen=True, title="Dead letter v1")

    error_class: str
    message: str
    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, error: PipelineError, topic: str, partition: int, offset: int) -> DeadLetter:
        """Describe an error met at one position of the log."""
        return cls(
            error_class=type(error).__name__,
            message=str(error),
            topic=topic,
            partition=partition,
            offset=offset,
        )

    def headers(self) -> list[Header]:
        """The five headers `__everscore.error.{class,message,topic,partition,offset}`."""
        return [
            (HEADER_PREFIX + "class", self.error_class.encode()),
            (HEADER_PREFIX + "message", self.message.encode("utf-8", "replace")),
            (HEADER_PREFIX + "topic", self.topic.encode()),
            (HEADER_PREFIX + "partition", str(self.partition).encode()),
            (HEADER_PREFIX + "offset", str(self.offset).encode()),
        ]

    @classmethod
    def from_headers(cls, headers: Iterable[Header]) -> DeadLetter:
        """Read the five headers back.

        Raises
        ------
        pydantic.ValidationError
            Some are missing: this is not a dead letter of ours.
        """
        found = {
            name.removeprefix(HEADER_PREFIX): value.decode("utf-8", "replace")
            for name, value in headers
            if name.startswith(HEADER_PREFIX) and value is not None
        }
        found["error_class"] = found.pop("class", "")
        return cls.model_validate(found)


def original_headers(headers: Sequence[Header]) -> list[Header]:
    """The headers the record had before it died."""
    return [(name, value) for name, value in headers if not name.startswith(HEADER_PREFIX)]
