"""Self-critical policy gradient, with the greedy reply as baseline."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from metadialog.episodes import Batch
from metadialog.generation.base import without_dropout
from metadialog.generation.greedy import Greedy
from metadialog.generation.sampling import Sampling
from metadialog.metrics.quality import BleuTokenizer, rouge_l, sentence_bleu
from metadialog.models.loss import mean_token_loss
from metadialog.objectives.base import LIKELIHOOD, Objectives
from metadialog.options import FROM_YAML, with_defaults
from metadialog.token_ids import PAD_ID
from metadialog.tokenizers.tokenizer import Tokenizer

Reward = Literal["bleu", "rouge_l"]


@with_defaults
def self_critical(
    tokenizer: Tokenizer,
    *,
    reward: Reward = FROM_YAML,
    bleu_tokenizer: BleuTokenizer = FROM_YAML,
    level: Literal["outer", "inner", "both"] = FROM_YAML,
    weight: Annotated[float, Ge(0), Le(1)] = FROM_YAML,
    max_tokens: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
) -> Objectives:
    """Return `SelfCritical` at one level or both, and the mean negative log-likelihood at the other.

    Args:
        tokenizer: ids to text.
        reward: reward of a reply.
        bleu_tokenizer: tokenizer of BLEU.
        level: level at which it is minimised.
        weight: share of the policy gradient; the rest is the mean negative log-likelihood.
        max_tokens: maximum length of a reply.
    """
    if weight == 0:
        return LIKELIHOOD
    mixed = SelfCritical(tokenizer, reward, bleu_tokenizer, weight, max_tokens)
    return Objectives(
        inner=LIKELIHOOD.inner if level == "outer" else mixed,
        outer=LIKELIHOOD.outer if level == "inner" else mixed,
        draws=True,
    )


class SelfCritical:
    """Self-critical sequence training, Rennie et al. 2017 (arXiv:1612.00563), equations 6 and 8.

    A dialogue is a sequential decision process: the context is the state, each token of the reply an action, and the
    reward `r`, 0 to 1, is given at the end. For a sampled reply `w` and the greedy reply `v`, whose reward is the
    baseline, the loss is `-(r(w) - r(v)) sum_t log p(w_t | w_1 .. w_t-1)`, summed over the exchanges of a batch and
    divided by the batch's counted tokens, like the negative log-likelihood, so that the losses of parts add up. Its
    expected gradient is that of the negative expected reward. Replies are drawn and scored without dropout.

    In the inner loop it is differentiated twice, as a function of the weights with the drawn replies as constants.
    This meta-gradient ignores the effect of the initialisation on the replies drawn in the inner loop (see Al-Shedivat
    et al. 2018, arXiv:1710.03641, section 3, and Foerster et al. 2018, arXiv:1802.05098).

    Draws depend on torch's global generator in training, which is seeded for each task, and only on the batch in
    validation and evaluation.

    Args:
        tokenizer: ids to text.
        reward: reward of a reply.
        bleu_tokenizer: tokenizer of BLEU.
        weight: share of the policy gradient; the rest is the mean negative log-likelihood.
        max_tokens: maximum length of a reply.
    """

    def __init__(
        self, tokenizer: Tokenizer, reward: Reward, bleu_tokenizer: BleuTokenizer, weight: float, max_tokens: int
    ) -> None:
        self.tokenizer = tokenizer
        self.weight = weight
        self.max_tokens = max_tokens
        self.greedy = Greedy(max_tokens=max_tokens)
        self.sampling = Sampling(max_tokens=max_tokens, temperature=1.0, top_k=0, top_p=1.0)
        self.forbidden = tokenizer.unspoken
        self.reward = _reward(reward, bleu_tokenizer)

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mixed loss of a model on a batch, scalar."""
        loss = self.weight * self.policy_loss(model, batch)
        return loss if self.weight == 1 else loss + (1 - self.weight) * mean_token_loss(model, batch)

    def policy_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the loss whose gradient is the policy gradient, scalar."""
        prompts, references = self._exchanges(batch)
        end = self.tokenizer.end_id
        sampled = self.sampling.generate(model, prompts, end, self.forbidden, _generator(model, batch))
        greedy = self.greedy.generate(model, prompts, end, self.forbidden, None)
        rewards = self._rewards(sampled, references)
        baselines = self._rewards(greedy, references)
        advantages = torch.tensor(
            [r - b for r, b in zip(rewards, baselines, strict=True)], device=batch.inputs.device
        )  # [batch]
        with without_dropout(model):
            log_p = self.log_probabilities(model, prompts, sampled)  # [batch]
        return -(advantages.to(log_p) * log_p).sum() / batch.mask.sum()

    def log_probabilities(
        self, model: nn.Module, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]
    ) -> Tensor:
        """Return the log-probability that each reply is drawn, with its end token if any, `[batch]`, nats."""
        end = self.tokenizer.end_id
        # A reply of the maximum length has no end token.
        actions = [[*reply, end][: self.max_tokens] for reply in replies]
        rows = [[*prompt, *reply] for prompt, reply in zip(prompts, actions, strict=True)]
        time = max(map(len, rows))
        device = next(model.parameters()).device
        tokens = torch.tensor([[*row, *[PAD_ID] * (time - len(row))] for row in rows], device=device)
        logits, _ = model(tokens[:, :-1])  # [batch, time, vocab]
        impossible = torch.zeros(logits.shape[-1], dtype=torch.bool, device=device)
        impossible[list(self.forbidden)] = True
        log_p = logits.masked_fill(impossible, -torch.inf).log_softmax(-1)
        targets = tokens[:, 1:]
        positions = torch.arange(1, time, device=device)
        begins = torch.tensor([len(prompt) for prompt in prompts], device=device)
        ends = torch.tensor([len(row) for row in rows], device=device)
        acted = (positions >= begins[:, None]) & (positions < ends[:, None])  # [batch, time]
        # Elsewhere any allowed token works, as it is masked and has a finite gradient.
        chosen = log_p.gather(-1, targets.masked_fill(~acted, end)[..., None])[..., 0]
        summed: Tensor = (chosen * acted).sum(1)
        return summed

    def _exchanges(self, batch: Batch) -> tuple[list[tuple[int, ...]], list[str]]:
        """Return each row's prompt, up to the marker before the response, and the response."""
        prompts = batch.prompts()
        references = [
            self.tokenizer.decode(targets[len(prompt) - 1 :])
            for prompt, targets in zip(prompts, batch.targets.tolist(), strict=True)
        ]
        return prompts, references

    def _rewards(self, replies: Sequence[Sequence[int]], references: Sequence[str]) -> list[float]:
        texts = (self.tokenizer.decode(reply) for reply in replies)
        return [self.reward(reference, text) for reference, text in zip(references, texts, strict=True)]


def _reward(reward: Reward, bleu_tokenizer: BleuTokenizer) -> Callable[[str, str], float]:
    """Return the reward function, which maps reference and reply to a value."""
    if reward == "bleu":
        return partial(sentence_bleu, tokenizer=bleu_tokenizer)
    return rouge_l


def _generator(model: nn.Module, batch: Batch) -> torch.Generator | None:
    """Return the generator of draws; None for torch's global one."""
    if model.training:
        return None
    digest = hashlib.sha256(batch.inputs.cpu().numpy().tobytes()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
