"""The token ids that all tokenizers share; imported without torch, which takes a second."""

PAD_ID = 0
"""Token id of padding in every tokenizer."""

BEGIN_ID, END_ID = 1, 2
"""Token ids at the beginning of a sequence and at the end of a response in every tokenizer."""

SELF_ID, OTHER_ID = 3, 4
"""Token ids at the beginning of turns in every tokenizer; see `Tokenizer`."""
