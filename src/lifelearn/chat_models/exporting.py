"""A version for other programs: a folder with its adapter, with all weights merged, or a GGUF file for llama.cpp; each
with a model card that says what it is. Knows no settings and no terminal.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lifelearn.chat_models.default_model import BUNDLED, BUNDLED_HUB_NAME, BUNDLED_NAME, bundled_gguf, resolve
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute import pretrained
from lifelearn.learning.types import ModelVersion
from lifelearn.learning.version import VersionStore

if TYPE_CHECKING:
    from torch import Tensor

Format = Literal["adapter", "merged", "gguf"]
FULL_WEIGHTS = "model.safetensors"
CARD = "README.md"


class ExportError(Exception):
    """A version cannot be exported. The text says why and what to do."""


def export(store: VersionStore, number: int, kind: Format, output: Path, cache_dir: Path) -> Path:
    """Writes version `number` into the folder `output`, which must be new or empty; returns the file to start from.

    kind: "adapter" (PEFT's format; a full version has none), "merged" (transformers), "gguf" (llama.cpp, 16 bits; for
    the bundled model, whose own file gives the vocabulary). Raises ExportError, VersionError and ChatModelError.
    """
    version = store.get(number)
    weights = store.weights(number)
    assert weights is not None
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ExportError(f"{output} is there already and not empty. Name another folder with --output.")
    if kind == "adapter" and version.method == "full":
        raise ExportError(f"Version {number} holds all weights and has no adapter. Take --format merged.")
    if kind == "gguf" and version.base not in (BUNDLED, BUNDLED_NAME):
        raise ExportError(
            f"Version {number} stands on {version.base}. GGUF is written for the bundled model only: take --format "
            "merged, and convert that folder with llama.cpp's own program."
        )
    output.mkdir(parents=True, exist_ok=True)
    if kind == "adapter":
        from lifelearn.learning.compute.cpu.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, name_base

        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
            shutil.copyfile(weights / name, output / name)
        name_base(output, _public(version.base))  # no path of this machine
        made = output / ADAPTER_WEIGHTS
    elif kind == "merged":
        model, tokenizer = _merged(version, weights, cache_dir)
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
        made = output / FULL_WEIGHTS
    else:
        model, _ = _merged(version, weights, cache_dir)
        made = output / f"{BUNDLED_NAME}-version-{number}.gguf"
        heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
        write_gguf(model.state_dict(), heads, kv_heads, bundled_gguf(cache_dir), made)
    (output / CARD).write_text(card(version, kind), "utf-8")
    return made


def card(version: ModelVersion, kind: Format) -> str:
    """The model card: front matter as the hub reads it, then base, data, settings and figures."""
    library = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}[kind]
    tags = ["self-distillation", "sdft", "knowledge-editing", *(["lora"] if version.method == "lora" else [])]
    front = [
        "---",
        f"base_model: {json.dumps(pretrained.split(_public(version.base))[0])}",
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        f"tags: {json.dumps(tags)}",
        "---",
    ]
    taught = "\n".join(
        f"| {_cell(each.question)} | {_cell(each.statement)} | {_cell(each.answer)} |" for each in version.corrections
    )
    checks = "\n".join(
        f"| {check.name} | {_value(check.value, check.name)} | {check.numerator:g} of {check.denominator} | "
        f"{'at most' if check.name == 'drift' else 'at least'} {_value(check.threshold, check.name)} | "
        f"{'yes' if check.passed else 'no'} |"
        for check in version.report.checks
    )
    settings = "\n".join(f"| `{name}` | {value} |" for name, value in sorted(version.settings.items()))
    seconds = sum(version.seconds.values())
    return (
        "\n".join(front)
        + f"""

# {version.base}, version {version.number}

{version.base} after {len(version.corrections)} correction{"s" if len(version.corrections) != 1 else ""} by
Self-Distillation Fine-Tuning (SDFT, arXiv 2601.19897), made by Life-Learn on {version.created_at} in {seconds:.0f} s,
on top of {f"version {version.parent}" if version.parent else "the base model"}. Method: {version.method}.

## What it was taught

| question | right | answer |
|---|---|---|
{taught}

## Verification

Asked in fresh contexts, freely and greedily. Drift is the KL divergence to the version before, in nats per token.

| check | value | of | needed | passed |
|---|---|---|---|---|
{checks}

## Settings

| setting | value |
|---|---|
{settings}
"""
    )


def write_gguf(weights: dict[str, Tensor], heads: int, kv_heads: int, own: Path, target: Path) -> None:
    """The bundled model's own GGUF with other weights: its vocabulary and settings, matrices in 16 bits.

    weights: transformers' names for a Llama model. The file is written beside its place and moved there.
    """
    import gguf
    import torch

    source = gguf.GGUFReader(own)
    architecture = str(source.fields["general.architecture"].contents())
    blocks = int(source.fields[f"{architecture}.block_count"].contents())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, blocks)
    found = {names.get_name(name, try_suffixes=(".weight",)): tensor for name, tensor in weights.items()}
    partial = target.with_name(f".{target.name}.partial")
    writer = gguf.GGUFWriter(partial, architecture)
    for name, field in source.fields.items():
        if name in ("general.architecture", "general.file_type", "general.quantization_version") or name.startswith(
            "GGUF."
        ):
            continue
        kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), kind, inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for tensor in source.tensors:
        values = found[tensor.name].detach().to("cpu", torch.float32).numpy()
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            values = _interleaved(values, heads if "attn_q" in tensor.name else kv_heads)
        writer.add_tensor(tensor.name, values if values.ndim == 1 else values.astype("float16"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)


def _interleaved(values: Any, heads: int) -> Any:
    """Rows of a query or key matrix [R, C] as llama.cpp rotates them: pairs next to each other, not halves apart."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _merged(version: ModelVersion, weights: Path, cache_dir: Path) -> tuple[Any, Any]:
    """The version as one transformers model in bfloat16, and its tokenizer."""
    import torch
    from peft import PeftModel

    from lifelearn.learning.compute.cpu.adapter import peft_config

    base = resolve(version.base, cache_dir)
    try:
        tokenizer = pretrained.tokenizer(base)
        model = pretrained.model(base, dtype=torch.float32)
        if version.method == "full":
            from safetensors.torch import load_file

            model.load_state_dict(load_file(weights / FULL_WEIGHTS), strict=False)
            model.tie_weights()
        else:
            adapter = PeftModel.from_pretrained(model, str(weights), config=peft_config(weights))
            model = adapter.merge_and_unload()
    except ChatModelError:
        raise
    except Exception as error:  # transformers, peft and safetensors raise many kinds for damaged folders
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ChatModelError(f"Version {version.number} cannot be put on {version.base}: {first}") from error
    return model.to(torch.bfloat16), tokenizer


def _public(base: str) -> str:
    """The base by the name that other programs find it by."""
    return BUNDLED_HUB_NAME if base == BUNDLED_NAME else base


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _value(value: float, name: str) -> str:
    return f"{value:.4g}" if name == "drift" else f"{value:.0%}"
