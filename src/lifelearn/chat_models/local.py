"""The local model: a Hugging Face causal language model on this machine, with or without a version's adapter.

Answers in batches (learning/compute/rollout.py), and streams.
It is also what is trained: `base` and `codec` are the engine's way in.
"""

from __future__ import annotations

import copy
import itertools
import queue
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from logging import getLogger
from pathlib import Path

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from lifelearn.chat_models.default_model import BUNDLED, BUNDLED_HUB_NAME, BUNDLED_NAME, resolve
from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.compute import pretrained
from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.compute.cpu.adapter import Adapter, peft_config
from lifelearn.learning.compute.cpu.decoder import Decoder
from lifelearn.learning.compute.cpu.network import DecoderNetwork
from lifelearn.learning.compute.network import Network, Rows, State
from lifelearn.learning.compute.packing import chunks
from lifelearn.learning.compute.rollout import rollout, tokens
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.compute.torch_hub import HubNetwork
from lifelearn.learning.sdft.student import FULL_WEIGHTS, has_bfloat16, load_full
from lifelearn.learning.types import Conversation, Message

_SERVED = "served"
HUB_SECONDS = 10.0
TEXT_TOKENS = 512  # general text in one pass, about
KEPT = 16  # versions that `network_for` keeps in memory; 30 MB each for LoRA on the bundled model
FULL_COUNTS_AS = 8  # so many of them is a version of all weights


class LocalChatModel:
    """A base model in memory; `use` puts a version's weights on it, exactly and reversibly."""

    def __init__(self, base: PreTrainedModel, codec: Codec, name: str) -> None:
        self.base = base
        self.codec = codec
        self.decoder = Decoder.of(base)
        self._name = name
        self._base_network = _network(base, self.decoder)
        self._network = self._base_network
        self._kept: OrderedDict[Path, Network] = OrderedDict()  # what `network_for` gave last at the end
        self._lock = threading.RLock()  # the model answers one caller at a time

    @classmethod
    def load(
        cls, name: str, cache_dir: Path, on_message: Callable[[str], None] | None = None, device: str | None = None
    ) -> LocalChatModel:
        """Loads `name`: "bundled", a folder, or a Hugging Face id, which may name a revision (pretrained.py).

        Raises ChatModelError, with what to do, when it can't be had.
        """
        base, tokenizer, _ = cls.parts(name, cache_dir, on_message, device)
        return cls(base, Codec(tokenizer, base), BUNDLED_NAME if name == BUNDLED else name)

    @staticmethod
    def parts(
        name: str,
        cache_dir: Path,
        on_message: Callable[[str], None] | None = None,
        device: str | None = None,
        place: str | None = None,
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
        """The model, frozen, its tokenizer, and the hub's name or the folder of it. Raises as `load`.

        place: where to put it for now, in the number type of `device`.
        """
        path = resolve(name, cache_dir, on_message)
        logging.disable_progress_bar()  # loading takes a second; the caller says what is going on
        logging.set_verbosity_error()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
        if device == "cpu" and dtype == torch.bfloat16 and (why := kernels.load(cache_dir / "compiled")):
            getLogger(__name__).warning("Learning is slower here than it could be: %s.", why)
        try:
            local = not _to_be_downloaded(path)
            tokenizer = pretrained.tokenizer(path, local_files_only=local)
            base = pretrained.model(path, dtype=dtype, local_files_only=local)
            base = base.to(place or device).eval()
        except ChatModelError:
            raise
        except Exception as error:  # transformers raises many kinds for a bad folder or an unknown id
            raise ChatModelError(_why(name, path, error)) from error
        if not tokenizer("a", add_special_tokens=False)["input_ids"]:  # without its file it loads, but empty
            raise ChatModelError(_why(name, path, ValueError("its tokenizer has no vocabulary (tokenizer.json)")))
        base.requires_grad_(False)
        return base, tokenizer, BUNDLED_HUB_NAME if name in (BUNDLED, BUNDLED_NAME) else path

    @property
    def name(self) -> str:
        return self._name

    @property
    def network(self) -> Network:
        """What answers now: the base, alone or with the adapter in use, or a full version."""
        return self._network

    def describe(self) -> str:
        """The model in one line: name, size, number type, device."""
        count = sum(parameter.numel() for name, parameter in self.base.named_parameters() if "lora_" not in name)
        dtype = str(self.base.dtype).removeprefix("torch.")
        return f"{self._name} ({count / 1e6:.0f} M parameters, {dtype}, {self.base.device.type})"

    def use(self, weights: Path | None) -> None:
        """Answers with the version in the folder `weights` from now on; None is the base."""
        with self._lock:
            self._drop()
            if weights is None:
                return
            try:
                self._network = self._version(weights)
            except Exception as error:  # peft and safetensors raise many kinds for a damaged folder
                self._drop()
                raise ChatModelError(f"The version in {weights} cannot be loaded: {_first_line(error)}") from error

    def network_for(self, weights: Path | None) -> Network:
        """The network of the version in the folder `weights`, or of the base, for `pieces`: many can be used in turn.

        The last ones stay in memory. Not to be mixed with `use` or with training. Raises ChatModelError.
        """
        if weights is None:
            return self._base_network if self.decoder is not None else _Turn(self.base)
        network = self._kept.pop(weights, None)
        if network is None:
            try:
                plain = self.decoder is not None or (weights / FULL_WEIGHTS).exists()
                network = self._version(weights) if plain else _Turn(self.base, weights)
            except Exception as error:  # as above
                raise ChatModelError(f"The version in {weights} cannot be loaded: {_first_line(error)}") from error
        self._kept[weights] = network
        while len(self._kept) > 1 and sum(map(self._weight, self._kept)) > KEPT:
            self._kept.popitem(last=False)
        return network

    @staticmethod
    def _weight(weights: Path) -> int:
        return FULL_COUNTS_AS if (weights / FULL_WEIGHTS).exists() else 1

    def _version(self, weights: Path) -> Network:
        """The network of the version in a folder."""
        if (weights / FULL_WEIGHTS).exists():
            full = copy.deepcopy(self.base)
            load_full(full, weights)
            return _network(full, Decoder.of(full))
        if self.decoder is not None:
            return DecoderNetwork(self.decoder, Adapter.load(self.decoder, weights))
        config = peft_config(weights)
        self.base.load_adapter(str(weights), adapter_name=_SERVED, peft_config=config, is_trainable=False)
        for name, parameter in self.base.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(self.base.dtype)
        self.base.set_adapter(_SERVED)
        self.base.eval()
        return HubNetwork(self.base)

    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        prompts = [self.prompt(conversation, sampling.max_tokens) for conversation in conversations]
        with self._lock:
            completions = rollout(self._network, prompts, self.codec.stop_ids, sampling)
        return [self.codec.decode(completion) for completion in completions]

    def pieces(self, prompt: Sequence[int], sampling: Sampling, network: Network) -> Iterator[str | None]:
        """The answer by `network`, a token at a time: each is computed when it is asked for, in the asking thread.

        None after a part of a long prompt, "" where a character is not whole yet. prompt: by `prompt`. For one thread,
        which may take turns between many answers.
        """
        ids: list[int] = []
        shown = ""
        for token in tokens(network, prompt, self.codec.stop_ids, sampling):
            if token is None:
                yield None
                continue
            ids.append(token)
            text = self.codec.decode_raw(ids)
            if text.endswith("\ufffd"):  # half of a character waits for its other half
                yield ""
                continue
            yield text[len(shown) :]
            shown = text

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """Pieces as they are sampled. Closing the iterator stops the sampling."""
        pieces: queue.Queue[str | BaseException | None] = queue.Queue()  # None: there are no more
        stopped = threading.Event()

        def run() -> None:
            try:
                prompt = self.prompt(conversation, sampling.max_tokens)
                with self._lock:
                    for piece in self.pieces(prompt, sampling, self._network):
                        pieces.put(piece or "")
                        if stopped.is_set():
                            break
                pieces.put(None)
            except BaseException as error:
                pieces.put(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, ChatModelError):
                    raise piece
                if isinstance(piece, BaseException):
                    raise ChatModelError(f"The model stopped answering: {piece}") from piece
                if piece:
                    yield piece
        finally:
            stopped.set()
            thread.join()

    @torch.inference_mode()
    def text_logprobs(self, texts: Sequence[str]) -> list[Tensor]:
        found: list[Tensor] = []
        with self._lock:
            for chunk in chunks([self.codec.text(text) for text in texts], TEXT_TOKENS):
                lengths = [len(ids) - 1 for ids in chunk]
                logprobs_NV = self._network.logits([ids[:-1] for ids in chunk], lengths).float().log_softmax(-1)
                found += logprobs_NV.to(torch.bfloat16).split(lengths)
        return found

    def prompt(self, conversation: Conversation, room: int) -> list[int]:
        """The conversation's ids, with room for an answer; its oldest turns are left out when it outgrows the context.

        Takes time for what is kept, however long the conversation and its messages are. Raises ChatModelError where not
        even the last message fits.
        """
        most, turns = self.codec.context - room, list(conversation)
        starts = self._starts(turns, most)
        while True:
            first = starts[0] if starts else 0
            kept = [turn for turn in turns[:first] if turn.role == "system"] + turns[first:]
            if len(starts) < 2 and sum(self.codec.length(turn.content, 2 * most) for turn in kept) > 2 * most:
                told = f"The message has more than {2 * most} tokens; {self._name} takes {most}. Shorten it."
                raise ChatModelError(told)
            prompt = self.codec.prompt(tuple(kept))
            if len(prompt) <= most:
                return prompt
            if len(starts) < 2:
                raise ChatModelError(f"The message has {len(prompt)} tokens; {self._name} takes {most}. Shorten it.")
            # What the template adds to each turn was not counted. By halves of what that is about, soon there.
            share = len(starts) * (len(prompt) - most) // (2 * len(prompt))
            starts = starts[min(max(share, 1), len(starts) - 1) :]

    def _starts(self, turns: Sequence[Message], most: int) -> list[int]:
        """From which messages of the user's on the rest may fit into `most` tokens; the last one in any case."""
        left = most - sum(self.codec.length(turn.content, most) for turn in turns if turn.role == "system")
        found: list[int] = []
        for index in range(len(turns) - 1, -1, -1):
            turn = turns[index]
            if turn.role != "system":
                left -= self.codec.length(turn.content, most)
            if left < 0 and found:
                break
            if turn.role == "user":
                found.append(index)
        return [0, *found[-2::-1]] if found and left >= 0 else found[::-1]

    def _drop(self) -> None:
        self._network = self._base_network
        if _SERVED in getattr(self.base, "peft_config", {}):  # a half-loaded one too
            self.base.delete_adapter(_SERVED)


class _Turn(HubNetwork):
    """A version of a model that transformers runs, or its base: its adapter is put on whenever it is its turn."""

    _numbers = itertools.count()

    def __init__(self, model: PreTrainedModel, weights: Path | None = None) -> None:
        super().__init__(model)
        self._adapter = ""
        if weights is None:
            return
        self._adapter = f"version{next(self._numbers)}"
        weakref.finalize(self, _unload, model, self._adapter)  # once no answer needs it any more
        config = peft_config(weights)
        model.load_adapter(str(weights), adapter_name=self._adapter, peft_config=config, is_trainable=False)
        for name, parameter in model.named_parameters():
            if f".{self._adapter}." in name:
                parameter.data = parameter.data.to(model.dtype)
        model.eval()

    def _put_on(self) -> None:
        if self._adapter:
            self._model.set_adapter(self._adapter)
            self._model.enable_adapters()
        elif getattr(self._model, "peft_config", None):
            self._model.disable_adapters()

    def logits(self, rows: Rows, keep: Sequence[int]) -> Tensor:
        self._put_on()
        return super().logits(rows, keep)

    def prefill(self, prompts: Rows) -> tuple[Tensor, State]:
        self._put_on()
        return super().prefill(prompts)

    def step(self, token_B: Tensor, state: State) -> Tensor:
        self._put_on()
        return super().step(token_B, state)


def _unload(model: PreTrainedModel, adapter: str) -> None:
    if adapter in getattr(model, "peft_config", {}):
        model.delete_adapter(adapter)


def _network(model: PreTrainedModel, decoder: Decoder | None) -> Network:
    return HubNetwork(model) if decoder is None else DecoderNetwork(decoder)


def _to_be_downloaded(path: str) -> bool:
    """Whether the model is neither a folder nor in the hub's cache. Then the hub must know it, and is asked once:
    a download would try again for half a minute before it says that there is no network. Raises ChatModelError by
    what files it has: asked for safetensors where there are none, transformers would have the hub convert pickles."""
    if Path(path).exists():
        return False
    name, revision = pretrained.split(path)
    kept = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(kept, str):
        pretrained.refuse(path, (file.name for file in Path(kept).parent.iterdir()))
        return False
    info = HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS)
    pretrained.refuse(path, (file.rfilename for file in info.siblings or ()))
    return True


def _why(name: str, path: str, error: Exception) -> str:
    if Path(path).exists():
        return (
            f"The model in {path} cannot be loaded: {_first_line(error)} "
            "The folder may be incomplete: copy or download it again, or choose another (LL_BASE_MODEL_NAME)."
        )
    return (
        f"The model {name!r} cannot be had: it is no folder here, and the hub did not give it ({_first_line(error)}) "
        "Check the name and the network, or use the bundled model (LL_BASE_MODEL_NAME=bundled)."
    )


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return line if line.endswith(".") else line + "."
