"""The weights that a lesson changes, beside those of their parent and of their teacher.

LoRA keeps one frozen base in memory and puts small adapters on it, by the hand-written decoder where the
model is of its families, by PEFT elsewhere; full fine-tuning works on a float32 copy. All give the same: a
network that answers as the student, as the parent and as the teacher, the parameters to optimise, and a folder
of safetensors. A student starts as its parent, so its first loss is measured against a true copy. Knows
nothing of lessons.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from lifelearn.learning.compute.cpu.adapter import ADAPTER_WEIGHTS, Adapter, read_state, write_state
from lifelearn.learning.compute.cpu.decoder import Below, Decoder
from lifelearn.learning.compute.cpu.network import DecoderNetwork
from lifelearn.learning.compute.network import Network
from lifelearn.learning.compute.torch_hub import HubNetwork
from lifelearn.learning.recipe import Recipe

FULL_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Numbers:
    """How a model of transformers is computed.

    mixed: matrix products in bfloat16 on float32 masters; None is where the device has them in hardware.
    checkpointing: see torch_hub.py.
    """

    mixed: bool | None = None
    checkpointing: bool = False

    def context(self, model: PreTrainedModel) -> Any:
        """In which to compute."""
        device = model.device.type
        mixed = has_bfloat16(device) if self.mixed is None else self.mixed
        return torch.autocast(device, dtype=torch.bfloat16) if mixed else nullcontext()


class Student(Protocol):
    """A student with its parent and its teacher.

    rate: the share of the student that an averaging teacher takes in at each update; 0 where it is frozen.
    """

    rate: float

    @property
    def parameters(self) -> list[Parameter]:
        """What the optimizer changes: float32 masters."""
        ...

    def student(self) -> Any:
        """Context in which the yielded network answers as the student."""
        ...

    def parent(self) -> Any:
        """Context in which the yielded network answers as the version that the student started from."""
        ...

    def base(self) -> Any:
        """Context in which the yielded network answers as the base model, which knows no correction."""
        ...

    def teacher(self) -> Any:
        """Context in which the yielded network answers as the teacher: the parent, or the student's average."""
        ...

    @property
    def averages(self) -> list[Tensor]:
        """The weights of an averaging teacher, in the order of `parameters`; none where it is frozen."""
        ...

    @torch.no_grad()
    def update_teacher(self) -> None:
        """Moves an averaging teacher towards the student: teacher += rate · (student - teacher)."""
        if averages := self.averages:
            for slow, fast in zip(averages, self.parameters, strict=True):
                slow.lerp_(fast, self.rate)

    def save(self, folder: Path) -> Path:
        """Writes the student's weights into `folder`; the path of the weights file."""
        ...

    def load(self, folder: Path) -> None:
        """Goes on from the weights that a student of the same parent saved; parent and teacher stay as they are."""
        ...

    def close(self) -> None:
        """Takes the student away; the base model is as before."""
        ...


class AdapterStudent(Student):
    """Adapters beside a shared decoder, which stays as it is: the parent and an averaging teacher are others."""

    def __init__(self, decoder: Decoder, recipe: Recipe, parent_weights: Path | None) -> None:
        self._decoder = decoder
        self.rate = recipe.ema_rate if recipe.teacher == "ema" else 0.0
        self._parent = None if parent_weights is None else Adapter.load(decoder, parent_weights)
        self._student = self._like_parent(recipe)
        self._teacher = self._like_parent(recipe).freeze() if self.rate else self._parent
        self._below = Below(self._student.first) if self._student.first else None

    @property
    def parameters(self) -> list[Parameter]:
        return self._student.parameters

    @property
    def averages(self) -> list[Tensor]:
        return list(self._teacher.parameters) if self.rate and self._teacher is not None else []

    @contextmanager
    def student(self) -> Iterator[Network]:
        self._student.refresh()
        yield DecoderNetwork(self._decoder, self._student, self._below)

    @contextmanager
    def parent(self) -> Iterator[Network]:
        with torch.no_grad():
            yield DecoderNetwork(self._decoder, self._parent, self._below)

    @contextmanager
    def base(self) -> Iterator[Network]:
        with torch.no_grad():
            yield DecoderNetwork(self._decoder, None, self._below)

    @contextmanager
    def teacher(self) -> Iterator[Network]:
        if self.rate and self._teacher is not None:
            self._teacher.refresh()
        with torch.no_grad():
            yield DecoderNetwork(self._decoder, self._teacher)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self._student.save(folder)
        return folder / ADAPTER_WEIGHTS

    def load(self, folder: Path) -> None:
        self._student.fill(read_state(folder))

    def close(self) -> None:
        pass

    def _like_parent(self, recipe: Recipe) -> Adapter:
        """A trainable adapter that answers as the parent."""
        if self._parent is None:
            first = round((1 - recipe.adapted_layers) * len(self._decoder.blocks))
            return Adapter(self._decoder, recipe.lora_rank, 2 * recipe.lora_rank, recipe.seed, first)
        adapter = Adapter(self._decoder, self._parent.rank, self._parent.alpha, first=self._parent.first)
        adapter.fill(self._parent.state())
        return adapter


class PeftStudent(Student):
    """Adapters of PEFT on a shared base: "student", "parent" (none for the base itself), "teacher" if it moves."""

    def __init__(
        self, model: PreTrainedModel, recipe: Recipe, parent_weights: Path | None, numbers: Numbers = Numbers()
    ) -> None:
        self._model = model
        self._numbers = numbers
        self.rate = recipe.ema_rate if recipe.teacher == "ema" else 0.0
        self._names = ["student"]
        rank = recipe.lora_rank
        inherited: dict[str, Tensor] | None = None
        if parent_weights is not None:
            inherited = read_state(parent_weights)
            rank = LoraConfig.from_pretrained(str(parent_weights)).r
            self._names.append("parent")
        if self.rate:
            self._names.append("teacher")
        self._config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            for name in self._names:
                model.add_adapter(copy.deepcopy(self._config), adapter_name=name)
        for name in self._names:
            weights = inherited or get_peft_model_state_dict(model, adapter_name="student")
            set_peft_model_state_dict(model, weights, adapter_name=name)
        self._masters = self._of("student")
        for name in self._names:
            for parameter in self._of(name):
                parameter.data = parameter.data.float()  # bfloat16 loses relative updates under 2^-9
                parameter.requires_grad_(name == "student")
        self._use("student")

    @property
    def parameters(self) -> list[Parameter]:
        return self._masters

    @property
    def averages(self) -> list[Tensor]:
        return list(self._of("teacher")) if self.rate else []

    @contextmanager
    def student(self) -> Iterator[Network]:
        with self._numbers.context(self._model):
            yield HubNetwork(self._model, self._numbers.checkpointing)

    @contextmanager
    def parent(self) -> Iterator[Network]:
        with self._as("parent" if "parent" in self._names else None) as model:
            yield HubNetwork(model)

    @contextmanager
    def base(self) -> Iterator[Network]:
        with self._as(None) as model:
            yield HubNetwork(model)

    @contextmanager
    def teacher(self) -> Iterator[Network]:
        if not self.rate:
            with self.parent() as network:
                yield network
        else:
            with self._as("teacher") as model:
                yield HubNetwork(model)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        weights = get_peft_model_state_dict(self._model, adapter_name="student")
        write_state(weights, folder)
        config = copy.deepcopy(self._config)
        config.inference_mode = True
        config.base_model_name_or_path = (
            None  # the manifest names the base; a path of this machine would be wrong elsewhere
        )
        config.task_type = "CAUSAL_LM"
        config.save_pretrained(str(folder))
        return folder / ADAPTER_WEIGHTS

    def load(self, folder: Path) -> None:
        set_peft_model_state_dict(self._model, read_state(folder), adapter_name="student")

    def close(self) -> None:
        for name in self._names:
            self._model.delete_adapter(name)

    @contextmanager
    def _as(self, name: str | None) -> Iterator[PreTrainedModel]:
        """The model with another adapter, or with none; the student's again afterwards."""
        if name is None:
            self._model.disable_adapters()
        else:
            self._use(name)
        try:
            with torch.no_grad(), self._numbers.context(self._model):
                yield self._model
        finally:
            if name is None:
                self._model.enable_adapters()
            self._use("student")

    def _use(self, name: str) -> None:
        self._model.set_adapter(name)
        for parameter in self._of("student"):  # set_adapter freezes what it leaves
            parameter.requires_grad_(True)

    def _of(self, name: str) -> list[Parameter]:
        return [p for key, p in self._model.named_parameters() if f".{name}." in key and ".lora_" in key]


class FullStudent(Student):
    """A float32 copy of all weights. The parent stays as it is; an averaging teacher is a second copy."""

    def __init__(
        self, model: PreTrainedModel, recipe: Recipe, parent_weights: Path | None, numbers: Numbers = Numbers()
    ) -> None:
        self._numbers = numbers
        self._base = self._parent = model
        if parent_weights is not None:
            self._parent = copy.deepcopy(model)
            load_full(self._parent, parent_weights)
        self._student = copy.deepcopy(self._parent).float()
        self._student.requires_grad_(True)
        self.rate = recipe.ema_rate if recipe.teacher == "ema" else 0.0
        self._teacher = copy.deepcopy(self._student).requires_grad_(False) if self.rate else self._parent

    @property
    def parameters(self) -> list[Parameter]:
        return [p for p in self._student.parameters() if p.requires_grad]

    @property
    def averages(self) -> list[Tensor]:
        return list(self._teacher.parameters()) if self.rate else []

    @contextmanager
    def student(self) -> Iterator[Network]:
        with self._numbers.context(self._student):
            yield HubNetwork(self._student, self._numbers.checkpointing)

    @contextmanager
    def parent(self) -> Iterator[Network]:
        with torch.no_grad():
            yield HubNetwork(self._parent)

    @contextmanager
    def base(self) -> Iterator[Network]:
        with torch.no_grad():
            yield HubNetwork(self._base)

    @contextmanager
    def teacher(self) -> Iterator[Network]:
        with torch.no_grad(), self._numbers.context(self._teacher):
            yield HubNetwork(self._teacher)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.weights()}, str(folder / FULL_WEIGHTS))
        return folder / FULL_WEIGHTS

    def load(self, folder: Path) -> None:
        load_full(self._student, folder)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All of them by their names, in the parent's number type."""
        tied = set(self._student._tied_weights_keys or ()) if self._student.config.tie_word_embeddings else set()
        for name, tensor in self._student.state_dict().items():
            if name not in tied:
                yield name, tensor.to(self._parent.dtype)

    def close(self) -> None:
        del self._student, self._teacher


def make_student(
    model: PreTrainedModel,
    decoder: Decoder | None,
    recipe: Recipe,
    parent_weights: Path | None,
    numbers: Numbers = Numbers(),
) -> Student:
    """A student of `model`, the base, that starts as the version in `parent_weights` (None: the base itself).

    decoder: of that base, where there is one; it computes in the base's own type, whatever `numbers` says, and keeps
    all activations, so it is not used with checkpointing.
    """
    full_parent = parent_weights is not None and (parent_weights / FULL_WEIGHTS).exists()
    if recipe.method == "full":
        if parent_weights is not None and not full_parent:
            raise ValueError("a full fine-tuning version cannot be trained on top of a LoRA version")
        return FullStudent(model, recipe, parent_weights, numbers)
    if full_parent:
        raise ValueError("a LoRA version cannot be trained on top of a full fine-tuning version")
    if decoder is not None and not numbers.checkpointing:
        return AdapterStudent(decoder, recipe, parent_weights)
    return PeftStudent(model, recipe, parent_weights, numbers)


def load_full(model: PreTrainedModel, folder: Path) -> None:
    """Puts a full version's weights into `model`, in place."""
    missing, unexpected = model.load_state_dict(load_file(str(folder / FULL_WEIGHTS)), strict=False)
    tied = set(model._tied_weights_keys or ())
    if unexpected or set(missing) - tied:
        raise ValueError(f"the weights in {folder} are not of this model")


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device == "mps"
