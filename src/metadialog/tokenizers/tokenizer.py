"""Text to token ids and back, without loss."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, Self

import tokenizers

from metadialog.errors import RunError
from metadialog.pretrained.ids import sparse
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID

SPECIAL_TOKENS = ("<pad>", "<begin>", "<end>", "<self>", "<other>")
"""Their positions here are their ids, in every tokenizer."""

MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256
"""The special tokens and the 256 bytes: what every vocabulary holds."""


class Tokenizer:
    """A vocabulary, and the rule that cuts text into its entries.

    Nothing is ever unknown, and `decode(encode(text)) == text` for every text: what is not in the vocabulary
    is spelled in bytes. So a model over any vocabulary gives a probability to the whole of a text, and an
    unfamiliar word is charged for its characters: word perplexity, `exp(total negative log-likelihood /
    words)`, may be compared between tokenizers, and no `<unk>` makes it look better. (A text has one encoding
    here, and the probability of other spellings of it is not counted: word perplexity is an upper bound, for
    each tokenizer.)

    The special tokens are ids that no text encodes to: a user who types `<end>` has typed five characters.

    Attributes:
        pad_id: padding, after the last token of a sequence; always 0.
        begin_id: the start of a sequence.
        end_id: the end of a response.
        self_id: the next turn is of the speaker whose response is to be given.
        other_id: the next turn is of anybody else.
    """

    pad_id = PAD_ID
    begin_id = SPECIAL_TOKENS.index("<begin>")
    end_id = SPECIAL_TOKENS.index("<end>")
    self_id = SELF_ID
    other_id = OTHER_ID

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Wrap a tokenizer of the `tokenizers` library whose first ids are the special tokens.

        Raises:
            ValueError: the first ids are others, or the library would find special tokens inside text.
        """
        first = tuple(backend.id_to_token(i) for i in range(len(SPECIAL_TOKENS)))
        if first != SPECIAL_TOKENS:
            raise ValueError(f"its first tokens are {first}; they should be {SPECIAL_TOKENS}")
        if backend.get_added_tokens_decoder():
            raise ValueError("it has added tokens, which are found inside text; it should have none")
        self._backend = backend

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The same as a tokenizer of the `tokenizers` library."""
        return self._backend

    @property
    def vocab_size(self) -> int:
        """Number of ids, the special tokens included."""
        return int(self._backend.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; no special token is among them."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of many texts, each as `encode` does; the library uses all cores for it."""
        return [list(encoding.ids) for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def to_json(self) -> str:
        """Return the tokenizer as JSON, in the format of the `tokenizers` library."""
        return str(self._backend.to_str(pretty=True))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, without the special tokens.

        Bytes that are not UTF-8, which only a generated or a cut sequence can hold, become U+FFFD.
        """
        ordinary = [i for i in ids if i >= len(SPECIAL_TOKENS)]
        return str(self._backend.decode(ordinary))

    def save(self, path: Path) -> None:
        """Write the tokenizer as JSON, in the format of the `tokenizers` library."""
        path.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RunError: the file cannot be read, or is not such a tokenizer.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise RunError(f"{path}: cannot be read: {reason}; it should be a saved tokenizer") from error
        try:
            problem = sparse(json.loads(text))
            if problem is not None:
                raise ValueError(problem)
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # the library raises nothing narrower
            problem = " ".join(str(error).split())
            raise RunError(f"{path}: is not a saved tokenizer: {problem}; it should be as saved") from error


class TokenizerTrainer(Protocol):
    """What `conf/tokenizer/*.yaml` names."""

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Build the vocabulary from texts, read once; their order does not matter."""
        ...
