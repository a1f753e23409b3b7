"""Lossless conversion between text and token ids."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, Self

import tokenizers

from metadialog.errors import RunError
from metadialog.pretrained.ids import sparse
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID

SPECIAL_TOKENS = ("<pad>", "<begin>", "<end>", "<self>", "<other>")
"""The special tokens; their positions are their ids in every tokenizer."""

MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256
"""Number of special tokens and bytes, which every vocabulary contains."""


class Tokenizer:
    """A vocabulary, and the rule that divides text into its entries.

    There are no unknown tokens, and `decode(encode(text)) == text` for every text, as anything outside the vocabulary
    is encoded as bytes. A model thus gives a probability to every text, and all characters of an unfamiliar word count,
    so that word perplexity, `exp(total negative log-likelihood / words)`, is comparable between tokenizers and not
    lowered by an `<unk>` token. (Only one encoding of a text is scored, so word perplexity is an upper bound for each
    tokenizer.)

    No text is encoded as special tokens: `<end>` typed by a user is five characters.

    Attributes:
        pad_id: padding at the end of a sequence; always 0.
        begin_id: start of a sequence.
        end_id: end of a response.
        self_id: marks a turn of the speaker who responds.
        other_id: marks a turn of another speaker.
        unspoken: the special tokens that no reply may contain, which are all but the end.
    """

    pad_id = PAD_ID
    begin_id = SPECIAL_TOKENS.index("<begin>")
    end_id = SPECIAL_TOKENS.index("<end>")
    self_id = SELF_ID
    other_id = OTHER_ID
    unspoken = (pad_id, begin_id, self_id, other_id)

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Wrap a tokenizer of the `tokenizers` library whose first ids are the special tokens.

        Raises:
            ValueError: the first ids differ, or the library would match special tokens inside text.
        """
        first = tuple(backend.id_to_token(i) for i in range(len(SPECIAL_TOKENS)))
        if first != SPECIAL_TOKENS:
            raise ValueError(f"its first tokens are {first}; they should be {SPECIAL_TOKENS}")
        if backend.get_added_tokens_decoder():
            raise ValueError("it has added tokens, which are matched inside text; it should have none")
        self._backend = backend

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The tokenizer of the `tokenizers` library."""
        return self._backend

    @property
    def vocab_size(self) -> int:
        """Number of ids, the special tokens included."""
        return int(self._backend.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; no special token is among them."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of many texts; the library uses all cores."""
        return [list(encoding.ids) for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def to_json(self) -> str:
        """Return the tokenizer as JSON, in the format of the `tokenizers` library."""
        return str(self._backend.to_str(pretty=True))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, without the special tokens.

        Invalid UTF-8, which occurs only in generated or truncated sequences, becomes U+FFFD.
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
        except Exception as error:  # the library raises plain exceptions
            problem = " ".join(str(error).split())
            raise RunError(f"{path}: is not a saved tokenizer: {problem}; it should be as saved") from error


class TokenizerTrainer(Protocol):
    """Interface of the classes that `conf/tokenizer/*.yaml` names."""

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Build the vocabulary from texts, which are read once; their order does not matter."""
        ...
