"""A pretrained causal language model as a dialogue model."""

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import MinLen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metadialog.errors import ConfigError
from metadialog.models.protocol import BaseModel, at_positions
from metadialog.models.recurrence import State
from metadialog.options import FROM_YAML, with_defaults
from metadialog.pretrained.chat import ChatFormat, chat_format
from metadialog.pretrained.files import SAFE, check_weights, loading, locate
from metadialog.pretrained.vocabulary import SHIFT, pretrained_tokenizer, vocabulary_size
from metadialog.token_ids import BEGIN_ID, END_ID, OTHER_ID, PAD_ID, SELF_ID

_OPTION = "model.path"
_FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class _Expanded:
    """Token ids of this package, expanded to those of the pretrained model.

    Attributes:
        ids: `[batch, longest]`; negative ones are soft tokens.
        valid: mask of tokens that are not padding, `[batch, longest]`; padding is at the end.
        at: position of the last expanded token of each original token, `[batch, time]`.
        fresh: whether no turn has begun yet, `[batch]`.
    """

    ids: Tensor
    valid: Tensor
    at: Tensor
    fresh: Tensor


class PretrainedModel(BaseModel):
    """A causal language model of `transformers`, which reads dialogues as chats in the format that it was trained on.

    Special tokens are expanded to several of its own: `<other>` to the end of a turn and the beginning of the user's,
    `<self>` likewise for the assistant's. A marker that counts in the loss counts as the end of a turn.

    Frozen weights, for example all except low-rank factors, are neither exported nor saved in checkpoints. They are
    loaded from the model's own files, and a fingerprint checks that these are the same.

    Args:
        vocab_size: number of token ids, which are those of `tokenizer=pretrained`.
        path: a folder, a GGUF file, or a name on the Hugging Face Hub; None for SmolLM2-135M-Instruct.
        system: system message of each chat; None for that of the model's chat template.
        attention: `eager` has second derivatives; `sdpa` is faster, but has only first ones.

    Raises:
        ConfigError: the model cannot be loaded, or the tokenizer does not belong to it.
    """

    is_pretrained = True

    @with_defaults
    def __init__(
        self,
        vocab_size: int,
        *,
        path: Annotated[str, MinLen(1)] | None = FROM_YAML,
        system: str | None = FROM_YAML,
        attention: Literal["eager", "sdpa"] = FROM_YAML,
    ) -> None:
        super().__init__()
        source = locate(path, _OPTION)
        tokenizer = pretrained_tokenizer(source, _OPTION)
        sketched = torch.get_default_device().type == "meta"  # a model without weights, for checking options
        expected = vocabulary_size(tokenizer)
        if vocab_size != expected and not sketched:
            raise ConfigError(
                f"model=pretrained: the tokenizer has {vocab_size} tokens, and {source} has {expected}; it should be "
                "tokenizer=pretrained with tokenizer.path as model.path"
            )
        self.vocab_size = expected
        self.chat: ChatFormat = chat_format(tokenizer, system)
        self.network = _load(source, attention, sketched=sketched)
        known = inspect.signature(self.network.forward).parameters
        self._cache_option = "cache" if "cache" in known else "past_key_values"
        self.has_linear_head = sketched or self._is_linear()
        self.register_buffer(_FINGERPRINT, torch.zeros(16, dtype=torch.uint8) if sketched else self._fingerprint())
        self.register_state_dict_post_hook(_leave_out_frozen)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_fill_in_frozen)  # type: ignore[no-untyped-call]

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        """The parts: input and output embedding, and everything else as body."""
        modules = {id(module): name for name, module in self.named_modules()}
        embeddings = f"{modules[id(self.token_embedding)]}.*"
        head = f"{modules[id(self.network.get_output_embeddings())]}.*"
        prefix = f"{modules[id(self.network.base_model)]}."
        body = tuple(f"{prefix}{name}*" for name, _ in self.network.base_model.named_children())
        return {"embeddings": (embeddings,), "body": tuple(b for b in body if not embeddings.startswith(b[:-1])),
                "head": (head,)}  # fmt: skip

    @property
    def token_embedding(self) -> nn.Module:
        """The module that embeds the pretrained model's token ids."""
        module: nn.Module = self.network.get_input_embeddings()
        return module

    def replace_token_embedding(self, module: nn.Module) -> None:
        """Replace the module that embeds token ids."""
        self.network.set_input_embeddings(module)

    def forward(self, tokens: Tensor, state: State | None = None, at: Tensor | None = None) -> tuple[Tensor, State]:
        """Predict the token after each token, or after those at `at`; see `DialogueModel` and `at_positions`."""
        expanded = self._expand(tokens, state)
        hidden, state = self._continue(expanded, state)
        return self._logits(at_positions(hidden[_rows(tokens), expanded.at], at)), state

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        """Return the losses of the counted targets; see `DialogueModel.token_losses`."""
        return self._scores(tokens, targets, mask, state)[0]

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the counted targets; see `DialogueModel.token_scores`."""
        losses, logits, wanted = self._scores(tokens, targets, mask, state)
        return losses, torch.zeros_like(mask).masked_scatter(mask, logits.argmax(-1) == wanted)

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts of different lengths, all tokens at once; see `DialogueModel.read`."""
        outside = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
        return self.read_on(tokens.masked_fill(outside, PAD_ID), state)

    def read_on(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read rows that end in padding, and return the logits after each row's last token, and the state."""
        expanded = self._expand(tokens, state)
        hidden, state = self._continue(expanded, state)
        last = expanded.valid.sum(1) - 1
        return self._logits(hidden[torch.arange(len(tokens), device=tokens.device), last]), state

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read one more token in each row; see `DialogueModel.step`."""
        return self.read_on(tokens[:, None], state)

    def select_rows(self, state: State, rows: Tensor) -> State:
        """Return the state of some rows; see `DialogueModel.select_rows`."""
        if isinstance(state, Tensor):
            return state.index_select(0, rows)
        return tuple(self.select_rows(part, rows) for part in state)

    def own_ids(self, tokens: Tensor) -> Tensor:
        """Expand tokens, `[batch, time]`, to ids of the pretrained model, `[batch, longest]`."""
        return self._expand(tokens, None).ids

    def _scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses, `[batch, time]`, and the logits and targets of counted tokens, `[counted, ...]`."""
        expanded = self._expand(tokens, state)
        hidden = self._run(expanded, None) if state is None else self._continue(expanded, state)[0]
        hidden = hidden[_rows(tokens), expanded.at]  # [batch, time, width]
        logits = self._logits(hidden[mask])  # [counted, vocab]
        wanted = targets[mask]
        ends = (wanted == SELF_ID) | (wanted == OTHER_ID)
        wanted = wanted.masked_fill(ends, END_ID)  # a marker counts as the end of the turn before it
        losses = cross_entropy(logits, wanted, reduction="none")
        return torch.zeros_like(mask, dtype=losses.dtype).masked_scatter(mask, losses), logits, wanted

    def _expand(self, tokens: Tensor, state: State | None) -> _Expanded:
        fresh = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        if state is not None:
            assert isinstance(state, tuple)  # noqa: S101 - for the type checker
            before = state[1]
            assert isinstance(before, Tensor)  # noqa: S101
            fresh = before
        if bool(((tokens < 0) | (tokens >= SHIFT)).all()):  # no special tokens, as in generation
            ids = torch.where(tokens < 0, tokens, tokens - SHIFT)
            at = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
            still = fresh & (tokens < 0).all(1)
            return _Expanded(ids, torch.ones_like(ids, dtype=torch.bool), at, still)
        rows, ats, fresh_after = [], [], []
        for row, is_fresh in zip(tokens.tolist(), fresh.tolist(), strict=True):
            made: list[int] = []
            ends: list[int] = []
            for token in row:
                expansion, is_fresh = self._expansion(token, is_fresh=is_fresh)  # noqa: PLW2901
                made += expansion
                ends.append(max(0, len(made) - 1))
            rows.append(made)
            ats.append(ends)
            fresh_after.append(is_fresh)
        longest = max(1, *map(len, rows))
        device = tokens.device
        return _Expanded(
            torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device),
            torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device).bool(),
            torch.tensor(ats, device=device),
            torch.tensor(fresh_after, device=device),
        )

    def _expansion(self, token: int, *, is_fresh: bool) -> tuple[tuple[int, ...], bool]:
        """Return the expansion of a token, and whether no turn has begun after it."""
        if token >= SHIFT:
            return (token - SHIFT,), False
        if token < 0:  # a soft token
            return (token,), is_fresh
        if token == PAD_ID:
            return (), is_fresh
        if token == BEGIN_ID:  # another dialogue begins after the first
            return (self.chat.begin if is_fresh else self.chat.close + self.chat.begin), True
        if token == END_ID:
            return (self.chat.end,), False
        opening = self.chat.own if token == SELF_ID else self.chat.others
        return (opening if is_fresh else self.chat.close + opening), False

    def _continue(self, expanded: _Expanded, state: State | None) -> tuple[Tensor, State]:
        """Run the network from a state, and return its hidden states and the new state."""
        from transformers import DynamicCache

        valid = expanded.valid
        past: list[State] = []
        if state is not None:
            assert isinstance(state, tuple)  # noqa: S101 - for the type checker
            before, _, *past = state
            assert isinstance(before, Tensor)  # noqa: S101
            valid = torch.cat([before, valid], dim=1)
        positions = (valid.cumsum(1) - 1).clamp(min=0)[:, -expanded.ids.shape[1] :]
        cache = DynamicCache(ddp_cache_data=past or None, config=self.network.config)
        hidden = self._run(expanded, cache, attention_mask=valid.long(), position_ids=positions)
        layers = tuple((layer.keys, layer.values) for layer in cache.layers)
        return hidden, (valid, expanded.fresh, *layers)

    def _run(self, expanded: _Expanded, cache: object | None, **options: Tensor) -> Tensor:
        """Return the hidden states, or directly the logits, `[batch, longest, width]`.

        Padding is at the end, so that without a cache nothing attends to it and no mask is needed.
        """
        network = self.network.base_model if self.has_linear_head else self.network
        inputs: dict[str, Any] = {"input_ids": expanded.ids, **options}
        if cache is not None:
            inputs[self._cache_option] = cache
        output = network(**inputs, use_cache=cache is not None, return_dict=True)
        result: Tensor = output.last_hidden_state if self.has_linear_head else output.logits
        return result

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the logits, `[..., vocab]`, for a result of `_run`."""
        theirs = self.network.get_output_embeddings()(hidden) if self.has_linear_head else hidden
        impossible = torch.finfo(theirs.dtype).min
        ours = theirs.new_full((*theirs.shape[:-1], SHIFT), impossible)
        end = ours.index_copy(-1, torch.tensor([END_ID], device=ours.device), theirs[..., [self.chat.end]])
        theirs = theirs[..., : self.vocab_size - SHIFT]
        never = [token for token in {*self.chat.never, self.chat.end} if token < theirs.shape[-1]]
        rest = theirs.index_fill(-1, torch.tensor(never, dtype=torch.int64, device=ours.device), impossible)
        return torch.cat([end, rest], dim=-1)

    @torch.no_grad()
    def _is_linear(self) -> bool:
        """Tell whether the logits are just a linear function of the last hidden state."""
        ids = torch.arange(3)[None]
        hidden = self.network.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits = self.network(input_ids=ids, use_cache=False).logits
        return torch.allclose(self.network.get_output_embeddings()(hidden), logits, rtol=1e-4, atol=1e-4)

    @torch.no_grad()
    def _fingerprint(self) -> Tensor:
        """Return a digest of the shapes and of some values of all weights, `[16]`."""
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in self.network.named_parameters():
            digest.update(f"{name} {tuple(weight.shape)}".encode())
            digest.update(weight.flatten()[:: max(1, weight.numel() // 64)].float().numpy().tobytes())
        return torch.tensor(list(digest.digest()), dtype=torch.uint8)

    def frozen_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the names and values of the frozen weights."""
        for name, weight in self.named_parameters(remove_duplicate=False):
            if name.startswith("network.") and not weight.requires_grad:
                yield name, weight


def _load(source: str, attention: str, *, sketched: bool) -> Any:  # noqa: ANN401 - of whatever class transformers has
    from transformers import AutoConfig, AutoModelForCausalLM

    with loading(_OPTION, source):
        if sketched:
            check_weights(source, _OPTION)
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            return AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        options = {"dtype": torch.float32, "attn_implementation": attention, "output_loading_info": True}
        network, loaded = AutoModelForCausalLM.from_pretrained(source, **options, **SAFE)
    if loaded["missing_keys"]:  # which would be random
        raise ConfigError(
            f"{_OPTION}={source}: its weights lack {min(loaded['missing_keys'])}, which a model of its config has"
        )
    return network


def _rows(tokens: Tensor) -> Tensor:
    return torch.arange(len(tokens), device=tokens.device)[:, None]


def _leave_out_frozen(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Remove weights from a state dict that are in the pretrained model's own files."""
    assert isinstance(module, PretrainedModel)  # noqa: S101 - for the type checker
    for name, _weight in module.frozen_weights():
        state.pop(prefix + name, None)


def _fill_in_frozen(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    _metadata: object,
    _strict: object,
    _missing: object,
    _unexpected: object,
    errors: list[str],
) -> None:
    """Add the removed weights to a state dict, unless it was saved with other pretrained weights."""
    assert isinstance(module, PretrainedModel)  # noqa: S101 - for the type checker
    saved = state.get(prefix + _FINGERPRINT)
    own = module.get_buffer(_FINGERPRINT)
    if saved is not None and not own.is_meta and not torch.equal(saved.cpu(), own.cpu()):
        errors.append("it was saved with another pretrained model; model.path should name the same one")
    for name, weight in module.frozen_weights():
        state.setdefault(prefix + name, weight.detach())
