"""Who multiplies matrices: one small port, `network` (logits of many rows, batched decoding), and its implementations.

`cpu` computes the common families by hand, `torch_hub` any causal model of transformers. Beside them: `trainable`, what
learning needs of a chat model; `rollout`, sampling; `tokens`, text to ids and back; `pretrained`, models from folders;
`divergence`, how far two distributions are apart. It knows nothing of corrections and lessons.

Others import the room's modules that `__all__` names; the door itself imports none of them: `trainable` and
`pretrained` are light, and the others load torch.
"""

__all__ = [
    "cpu",
    "divergence",
    "network",
    "packing",
    "pretrained",
    "rollout",
    "tokens",
    "torch_hub",
    "trainable",
]
