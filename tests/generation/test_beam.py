from collections.abc import Iterator, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from metadialog.generation.beam import Beam
from metadialog.generation.greedy import Greedy
from metadialog.models.rnn import DialogModel

PAD, BEGIN, END, SELF, OTHER = range(5)
FORBIDDEN = (PAD, BEGIN)
NEVER = (PAD, BEGIN, SELF, OTHER)  # as in real vocabularies; the small ones here use the last two for words
Prompts = list[tuple[int, ...]]


class Chain(nn.Module):
    """A Markov chain: the next token depends only on the last one."""

    def __init__(self, rows: dict[int, dict[int, float]]) -> None:
        super().__init__()
        table = torch.full((7, 7), -torch.inf)
        for last, row in rows.items():
            for token, probability in row.items():
                table[last, token] = torch.tensor(probability).log()
        self.table = nn.Parameter(table)

    def forward(self, tokens: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.table[tokens], torch.zeros(1, len(tokens), 1) if hidden is None else hidden


# After 3, token 4 is likelier (0.6) than 5 (0.4), but the token after 5 is certain, and that after 4 is not.
GARDEN_PATH = {3: {4: 0.6, 5: 0.4}, 4: {END: 0.4, 5: 0.3, 6: 0.3}, 5: {END: 1.0}, 6: {END: 1.0}}


def beam(beams: int, length_penalty: float = 0.0, max_tokens: int = 5) -> Beam:
    return Beam(max_tokens=max_tokens, beams=beams, length_penalty=length_penalty)


def hypotheses(vocabulary: Sequence[int], max_tokens: int) -> Iterator[tuple[int, ...]]:
    """Return all token sequences that end or have the maximum length."""
    for length in range(max_tokens):
        for tokens in product(vocabulary, repeat=length):
            yield (*tokens, END)
    yield from product(vocabulary, repeat=max_tokens)


def score(model: nn.Module, prompt: Sequence[int], tokens: Sequence[int], length_penalty: float) -> float:
    with torch.no_grad():
        logits, _ = model(torch.tensor([[*prompt, *tokens[:-1]]]))
    logits = logits[0, len(prompt) - 1 :].clone()
    logits[:, list(FORBIDDEN)] = -torch.inf
    log_p = logits.log_softmax(-1)
    total = sum(float(log_p[place, token]) for place, token in enumerate(tokens))
    return float(total / len(tokens) ** length_penalty)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
def test_enough_beams_search_everything(cell: str, length_penalty: float) -> None:
    found = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = DialogModel(
            6,
            cell=cell,  # type: ignore[arg-type]
            embedding_size=5,
            hidden_size=5,
            layers=1,
            dropout=0.0,
            tied_embedding=False,
        ).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=1.5)
        prompt = [3, 5, 4][: seed % 3 + 1]
        best = max(hypotheses((3, 4, 5), 4), key=lambda tokens: score(model, prompt, tokens, length_penalty))
        (reply,) = beam(500, length_penalty, max_tokens=4).generate(model, [prompt], END, FORBIDDEN, None)
        assert reply == [token for token in best if token != END]
        found.append(tuple(reply))
    assert len(set(found)) > 1


def test_one_beam_is_greedy(trained: DialogModel, prompts: Prompts) -> None:
    arguments = (trained, prompts, END, NEVER, None)
    greedy = Greedy(max_tokens=24).generate(*arguments)
    assert beam(1, 1.0, max_tokens=24).generate(*arguments) == greedy
    assert beam(4, 1.0, max_tokens=24).generate(*arguments) != greedy


def test_two_beams_leave_the_garden_path() -> None:
    model = Chain(GARDEN_PATH)
    assert beam(1).generate(model, [[3]], END, FORBIDDEN, None) == [[4]]  # 0.6 * 0.4
    assert beam(2).generate(model, [[3]], END, FORBIDDEN, None) == [[5]]  # 0.4 * 1


def test_the_length_penalty_prefers_longer_replies() -> None:
    # Ending at once has probability 0.4, continuing 0.6 * 0.6 = 0.36. Per token, log 0.36 / 3 is above log 0.4 / 1.
    model = Chain({3: {END: 0.4, 4: 0.6}, 4: {5: 0.6, 6: 0.4}, 5: {END: 1.0}, 6: {END: 1.0}})
    assert beam(4, length_penalty=0.0).generate(model, [[3]], END, FORBIDDEN, None) == [[]]
    assert beam(4, length_penalty=1.0).generate(model, [[3]], END, FORBIDDEN, None) == [[4, 5]]


def test_a_reply_that_is_cut_competes_with_those_that_ended() -> None:
    model = Chain({3: {END: 0.1, 4: 0.9}, 4: {4: 1.0}})
    assert beam(2, max_tokens=3).generate(model, [[3]], END, FORBIDDEN, None) == [[4, 4, 4]]


def test_the_beam_keeps_its_width_after_a_hypothesis_has_ended() -> None:
    # Ending at once has log 0.4 = -0.92 per token. Of the continuations 4 and 5, 4 is likelier but leads to worse ones;
    # 5 certainly ends: log 0.25 / 2 = -0.69. A beam in which the ended hypothesis takes up a place never finds it.
    model = Chain({3: {END: 0.4, 4: 0.35, 5: 0.25}, 4: {4: 0.25, 5: 0.25, 6: 0.25, END: 0.25}, 5: {END: 1.0}})
    (best,) = beam(2, length_penalty=1.0).n_best(model, [[3]], END, FORBIDDEN, None, 2)
    assert [reply.tokens for reply in best] == [[5], []]
    assert [round(reply.score, 2) for reply in best] == [-0.69, -0.92]


def test_more_beams_than_tokens() -> None:
    model = Chain({3: {4: 1.0}, 4: {END: 1.0}})
    assert beam(50).generate(model, [[3], [3, 4]], END, FORBIDDEN, None) == [[4], []]


def plain_search(model: nn.Module, prompt: Sequence[int], beams: int, max_tokens: int) -> list[int]:
    """Beam search as in a textbook: every hypothesis is read again from its beginning."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, max_tokens + 1):
        candidates = []
        for total, tokens in alive:
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *tokens]]))[0][0, -1].clone()
            logits[list(NEVER)] = -torch.inf
            log_p = logits.log_softmax(-1).tolist()
            candidates += [(total + log_p[token], [*tokens, token]) for token in range(len(log_p))]
        best = sorted(candidates, reverse=True)
        ended += [(total / length, tokens) for total, tokens in best[:beams] if tokens[-1] == END]
        ended = sorted(ended, reverse=True)[:beams]
        alive = [hypothesis for hypothesis in best if hypothesis[1][-1] != END][:beams]
        if len(ended) == beams and alive[0][0] / length <= ended[-1][0]:
            alive = []
            break
    cut = [(total / max_tokens, tokens) for total, tokens in alive]
    _, tokens = max(ended + cut)
    return [token for token in tokens if token != END]


def test_it_is_the_search_of_the_textbook(trained: DialogModel, prompts: Prompts) -> None:
    model = trained.eval()
    replies = beam(4, length_penalty=1.0, max_tokens=8).generate(model, prompts, END, NEVER, None)
    assert replies == [plain_search(model, prompt, beams=4, max_tokens=8) for prompt in prompts]
    assert len({tuple(reply) for reply in replies}) > 1
