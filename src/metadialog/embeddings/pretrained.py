"""Initialisation of token embeddings with pretrained word vectors."""

import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
import torch
from annotated_types import MinLen
from torch import nn

from metadialog.errors import ConfigError, DataError
from metadialog.models.protocol import token_embedding
from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from metadialog.unpacked import MAX_RATIO, GrowsTooMuchError, MaxRatio, open_gzip


class Random:
    """Keeps the random initialisation of the embedding."""

    replaces = False

    def check(self, model: nn.Module) -> None:
        """Accept every model; see `Pretrained.check`."""

    def fill(self, model: nn.Module, tokenizer: Tokenizer) -> str | None:
        """Do nothing; see `Pretrained.fill`."""


class Pretrained:
    """Reads the text format of GloVe (Pennington et al. 2014), fastText (Bojanowski et al. 2017) and word2vec.

    A line is a word and its values, separated by spaces; the first line may be two integers, the number of words and
    the width. A token that is a whole word gets the vector of that word, or of the word in lower case; all other tokens
    keep their random values.

    Args:
        path: the file, plain or compressed with gzip.
        max_ratio: maximum ratio of the unpacked to the compressed size.

    Attributes:
        replaces: whether it changes the random initialisation.
    """

    replaces = True

    def __init__(self, *, path: Annotated[str, MinLen(1)], max_ratio: MaxRatio = MAX_RATIO) -> None:
        self.path = Path(path).expanduser()
        self.max_ratio = max_ratio

    def check(self, model: nn.Module) -> None:
        """Check before training that the file exists and fits the model.

        Raises:
            ConfigError: its vectors are not as wide as the embedding, or the model has no token embedding.
            DataError: it does not exist, or its first line is not a word with values.
        """
        width = token_embedding(model, "embedding=pretrained").embedding_dim
        with self._opened() as lines:
            next(self._vectors(lines, width), None)

    def fill(self, model: nn.Module, tokenizer: Tokenizer) -> str | None:
        """Copy the vectors of known words into a model's embedding.

        Args:
            model: model with a token embedding, `[vocab, width]`.
            tokenizer: ids to text.

        Returns:
            A message on how much of the vocabulary has a vector.

        Raises:
            ConfigError: the vectors are not as wide as the embedding.
            DataError: a line is damaged, or no word of the file is in the vocabulary.
        """
        weight = token_embedding(model, "embedding=pretrained").weight
        wanted = _words(tokenizer)
        results: dict[str, np.ndarray] = {}
        known = {*wanted} | {word.lower() for word in wanted}
        with self._opened() as lines:
            for number, word, text in self._vectors(lines, weight.shape[1]):
                if (
                    word in known and word not in results
                ):  # files are sorted by frequency, so the first one is the more frequent
                    results[word] = self._numbers(number, text)
        filled = 0
        with torch.no_grad():
            for word, ids in wanted.items():
                vector = results.get(word, results.get(word.lower()))
                if vector is not None:
                    weight[ids] = torch.from_numpy(vector).to(weight)
                    filled += len(ids)
        if not filled:
            raise DataError(
                f"{self.path}: has none of the {len(wanted):,} words of the tokenizer; it should be in the language of "
                "the dialogues, with a tokenizer of words"
            )
        return f"pretrained embeddings: {filled:,} of {len(weight) - len(SPECIAL_TOKENS):,} tokens, from {self.path}"

    def _opened(self) -> TextIO:
        try:
            if self.path.exists() and not self.path.is_file():  # opening a FIFO would wait for a writer
                raise DataError(
                    f"{self.path}: is not a regular file; embedding.path should name a file of word vectors"
                )
            zipped = self.path.suffix == ".gz"
            file = open_gzip(self.path, self.max_ratio) if zipped else self.path.open("rb")
            return TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read: {error.strerror}; embedding.path should name a file of word vectors"
            ) from error

    def _vectors(self, lines: TextIO, width: int) -> Iterator[tuple[int, str, str]]:
        """Yield each line's number, its word, and the text of its values.

        A word may contain spaces, as in GloVe's file of 840 billion tokens.
        """
        try:
            for number, line in enumerate(lines, 1):
                stripped = line.rstrip(" \n\r")
                fields = stripped.count(" ")
                if number == 1 and fields == 1 and stripped.replace(" ", "").isdecimal():
                    self._check_width(number, int(stripped.split(" ")[1]), width)
                    continue
                if not stripped:
                    continue
                if fields < width or (number == 1 and fields != width):
                    self._check_width(number, fields, width)
                parts = stripped.rsplit(" ", width)
                yield number, parts[0], stripped[len(parts[0]) + 1 :]
        except GrowsTooMuchError as error:
            raise DataError(f"{self.path}: reading stopped: {error}, or raise embedding.max_ratio") from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.path}: reading stopped: {error}; the file should be complete") from error

    def _check_width(self, number: int, actual: int, width: int) -> None:
        if actual != width:
            raise ConfigError(
                f"{self.path}: line {number}: has vectors of {actual} numbers; it should have {width}, "
                "as model.embedding_size says"
            )

    def _numbers(self, number: int, text: str) -> np.ndarray:
        try:
            numbers = np.array(text.split(" "), dtype=np.float64)
        except ValueError as error:
            raise DataError(f"{self.path}: line {number}: {error}; a word should be followed by numbers") from error
        if not np.isfinite(numbers).all():
            raise DataError(f"{self.path}: line {number}: holds a number that is not finite; all of them should be")
        return numbers


def _words(tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Return the words that are single tokens, at the start of a text or after a space, with their ids."""
    words: dict[str, list[int]] = {}
    for token in range(len(SPECIAL_TOKENS), tokenizer.vocab_size):
        text = tokenizer.decode([token])
        if text.strip() and tokenizer.encode(text) == [token]:
            words.setdefault(text.strip(), []).append(token)
    return words
