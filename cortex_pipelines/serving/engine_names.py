"""Names of the engines that can answer."""

from typing import Literal

EngineName = Literal["auto", "torch", "llama", "openvino", "openai", "vllm"]
