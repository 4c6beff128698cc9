"""From settings to models: which one answers, and which writes demonstrations. For terminal, workspace and bench alike.

Imports what it needs when it needs it: a mock or a server's model is had without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lifelearn.learning.chat_model import ChatModel
from lifelearn.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lifelearn.chat_models.local import LocalChatModel

MOCK_NAME = "mock (scripted answers, no real model)"


def chat_model(settings: Settings, on_message: Callable[[str], None] | None = None) -> ChatModel:
    """The model that answers. on_message: told what takes long, instead of the log."""
    if settings.inference_backend == "mock":
        from lifelearn.chat_models.scripted import ScriptedChatModel

        return ScriptedChatModel(name=MOCK_NAME)
    if settings.inference_backend == "openai":
        return _served(settings)
    return trainable_model(settings, on_message)


def trainable_model(settings: Settings, on_message: Callable[[str], None] | None = None) -> LocalChatModel:
    """The model that corrections are learned into: a local one."""
    from lifelearn.chat_models.local import LocalChatModel

    return LocalChatModel.load(settings.base_model_name, settings.cache_dir, on_message)


def expert(settings: Settings) -> ChatModel | None:
    """The model that writes demonstrations, if one is configured."""
    return _served(settings) if settings.has_expert else None


def _served(settings: Settings) -> ChatModel:
    from lifelearn.chat_models.openai import OpenAIChatModel

    return OpenAIChatModel(settings.openai_model, settings.openai_base_url, settings.expert_key)


def named_model(settings: Settings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """The configured model as transformers has it, not on its device yet, its tokenizer, and what others know it by."""
    from lifelearn.chat_models.local import LocalChatModel

    return LocalChatModel.parts(settings.base_model_name, settings.cache_dir, place="cpu")
