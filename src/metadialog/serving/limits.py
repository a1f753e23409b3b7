"""Limits of requests, and the errors beyond them."""

from dataclasses import dataclass

from metadialog.text import counted


class RefusedError(Exception):
    """A request that is refused.

    Args:
        status: HTTP status code.
        sentence: message for the client.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def too_many(replies: int) -> RefusedError:
    """Return the error for too many concurrent replies."""
    return RefusedError(429, f"the server generates {counted(replies, 'reply')} at once; try again in a moment")


def over(status: int, what: str, asked: int, most: int) -> RefusedError:
    """Return the error for exceeding a limit."""
    return RefusedError(status, f"{what}: {asked:,} is over the limit; send {most:,} or fewer")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests, each with the HTTP status code beyond it.

    Attributes:
        upload_mib: size of a request, MiB; 413.
        dialogues: number of dialogues in a request; 422.
        turns: number of turns of all dialogues in a request; 422.
        steps: number of inner steps of an adaptation; 400.
        tokens: length of a reply; 400.
        waiting_adaptations: number of waiting or running adaptations; 429.
        waiting_replies: number of concurrently generated replies, each of `n` counted; 429.
        adaptations: number of adapted models to keep; beyond it the least recently used one is dropped, and requests
            for it get 410.
        adaptations_mib: memory of all of them that is not shared with their parents, MiB; beyond it the same. Requests
            for a model that alone takes more get 507.
    """

    upload_mib: float
    dialogues: int
    turns: int
    steps: int
    tokens: int
    waiting_adaptations: int
    waiting_replies: int
    adaptations: int
    adaptations_mib: float
