"""A sentence encoder small enough to be made anew in each run, and settings to use it with."""

import os
from pathlib import Path

import pytest

from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.versioning.project import read_yaml

ROOT = Path(__file__).parents[2]
_WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] fix the bug in login scan for secrets list all repositories "
    "deploy build plan work a b c d e f g h i j k l m n o p q r s t u v w x y z ##s ##ing"
)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained encoder with the architecture of the default one."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(_WORDS.split())) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def settings() -> RoutingSettings:
    """The project's settings, with a short search."""
    values = read_yaml(ROOT / "params.yaml")["routing"]
    return RoutingSettings.model_validate({**values, "trials": 3, "epochs": 40, "max_tokens": 32})
