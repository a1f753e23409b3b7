"""The token ids that all tokenizers share; importable without torch, which takes a second."""

PAD_ID = 0
"""The token id of padding, in every tokenizer."""

BEGIN_ID, END_ID = 1, 2
"""The token ids that a sequence begins with, and that a response ends with, in every tokenizer."""

SELF_ID, OTHER_ID = 3, 4
"""The token ids that turns begin with, in every tokenizer; see `Tokenizer`."""
