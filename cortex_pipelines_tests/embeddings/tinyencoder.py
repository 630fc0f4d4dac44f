"""A sentence encoder small enough to be built in each run."""

import os
from pathlib import Path

_WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] fix the bug in login scan for secrets list all repositories "
    "deploy build plan work a b c d e f g h i j k l m n o p q r s t u v w x y z ##s ##ing"
)


def make_tiny_encoder(folder: Path) -> Path:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(_WORDS.split())) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, max_position_embeddings=64, **sizes)
        BertModel(config).save_pretrained(folder)
    return folder
