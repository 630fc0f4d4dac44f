"""Names of the engines that can answer."""

from typing import Literal

EngineName = Literal["torch", "llama", "openai", "vllm"]
