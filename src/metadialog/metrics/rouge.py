"""ROUGE-L over our words. Apart from the other metrics, because the library brings nltk and scipy: two seconds."""

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer as RougeTokenizer

from metadialog.text import words


class _Words(RougeTokenizer):  # type: ignore[misc]
    """Our words, lower-cased: rouge-score's own tokenizer drops whatever is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        return words(text.lower())


_SCORER = RougeScorer(["rougeL"], tokenizer=_Words())


def rouge_l(reference: str, reply: str) -> float:
    """Return ROUGE-L F1 (Lin 2004), 0 to 1."""
    return float(_SCORER.score(reference, reply)["rougeL"].fmeasure)
