"""What one client may ask of the server, and what it is told where it asks for more."""

from dataclasses import dataclass

from metadialog.text import counted


class RefusedError(Exception):
    """A request that is refused.

    Args:
        status: HTTP status code.
        sentence: for the client.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def too_many(replies: int) -> RefusedError:
    """Return what a client is told where there is no room among so many replies."""
    return RefusedError(429, f"the server generates {counted(replies, 'reply')} at once; try again in a moment")


def over(status: int, what: str, asked: int, most: int) -> RefusedError:
    """Return what a client is told who asks for more than a limit."""
    return RefusedError(status, f"{what}: {asked:,} is over the limit; send {most:,} or fewer")


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked for; what is beyond is refused with the status code that stands behind it.

    Attributes:
        upload_mib: size of a request, MiB; 413.
        dialogues: dialogues of a request; 422.
        turns: turns of all its dialogues together; 422.
        steps: inner steps of an adaptation; 400.
        tokens: longest reply; 400.
        waiting_adaptations: adaptations that wait or run at once; 429.
        waiting_replies: replies that are generated at once, each of `n` counted; 429.
        adaptations: adapted models that are kept; of more, the one that was used least recently is dropped, and who
            asks for it is told so with 410.
        adaptations_mib: memory of all of them together, beside what they share with their parents, MiB; of more, the
            same. Who asks for one that alone takes more is told so with 507.
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
