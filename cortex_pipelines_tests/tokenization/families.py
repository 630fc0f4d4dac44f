"""Small tokenizers as the families of base models have them, with the marks of each."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
CORPUS = (*CASES["CORPUS"], "".join(map(chr, range(32, 127))))


def _wrapped(tokenizer: Tokenizer, added: Sequence[AddedToken], begins: bool = False, **names: Any) -> Any:
    """``begins``: each text begins with the tokenizer's ``bos_token``."""
    tokenizer.add_tokens([token for token in added if not token.special])
    tokenizer.add_special_tokens([token for token in added if token.special])
    if begins:
        number = tokenizer.token_to_id(names["bos_token"])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{names['bos_token']} $A", special_tokens=[(names["bos_token"], number)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _special(*texts: str, **how: bool) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=False, **how) for text in texts]


def _plain(*texts: str, **how: bool) -> list[AddedToken]:
    return [AddedToken(text, special=False, normalized=False, **how) for text in texts]


def _byte_level(split: str | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    parts = [pre_tokenizers.Split(Regex(split), "isolated")] if split else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*parts, bytes_of_words])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def llama3() -> Any:
    """Byte-level BPE, no merges needed for whole words."""
    marks = ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>")
    return _wrapped(_byte_level(), _special(*marks), begins=True, bos_token=marks[0], eos_token=marks[1])


def starcoder() -> Any:
    """Byte-level BPE, digits apart, with marks of files and gaps."""
    marks = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>")
    return _wrapped(
        _byte_level(r"\d"), _special(*marks, "<reponame>", "<gh_stars>"), bos_token=marks[0], eos_token=marks[0]
    )


def deepseek() -> Any:
    """Byte-level BPE, digits apart; marks of gaps with a wide bar and a low block, not called special."""
    ends = ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>")
    gaps = (f"<\uff5cfim\u2581{place}\uff5c>" for place in ("begin", "hole", "end"))
    return _wrapped(
        _byte_level(r"\d"), [*_plain(*gaps), *_special(*ends)], begins=True, bos_token=ends[0], eos_token=ends[1]
    )


def qwen() -> Any:
    """Byte-level BPE after NFC; some marks are not called special."""
    tokenizer = _byte_level()
    tokenizer.normalizer = normalizers.NFC()
    special = _special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    marks = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<tool_call>", "</tool_call>")
    qwen_tokenizer = _wrapped(tokenizer, [*_plain(*marks, "<think>", "</think>"), *special], eos_token="<|im_end|>")
    qwen_tokenizer.chat_template = CASES["qwen"]
    return qwen_tokenizer


def phi() -> Any:
    """Marks that swallow the white space behind them; runs of spaces are words of their own."""
    marks = _special("<|user|>", "<|assistant|>", "<|end|>", rstrip=True)
    return _wrapped(_byte_level(), [*marks, *_plain("    ", "        ")], eos_token="<|end|>")


def neox() -> Any:
    """Marks that are not special, and one that swallows the white space before it."""
    marks = [*_special("<|endoftext|>"), *_plain("<|padding|>"), *_plain("<mask>", lstrip=True)]
    return _wrapped(_byte_level(), [*marks, *_plain("  ", "   ")], eos_token="<|endoftext|>")


def _sentencepiece_bpe(controls: Sequence[str], prefix: bool) -> Tokenizer:
    """BPE over whole characters with bytes for the rest; merges lead to the control tokens too."""
    letters = sorted({letter for text in CORPUS for letter in text.replace(" ", "\u2581")})
    tokens = [*controls, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges: list[tuple[str, str]] = []
    for word in ("\u2581return", "\u2581def", "</s>", "<s>", "<eos>"):
        for end in range(2, len(word) + 1):
            pair = (word[: end - 1], word[end - 1 : end])
            if set(pair) <= set(tokens) and pair not in merges:
                merges.append(pair)
                tokens += [] if word[:end] in tokens else [word[:end]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    space = normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([*([normalizers.Prepend("\u2581")] if prefix else []), space])
    ends = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    )
    return tokenizer


def llama2(*marks: str) -> Any:
    """As sentencepiece's BPE: a space before every text, bytes for unknown letters."""
    controls = ("<unk>", "<s>", "</s>", *marks)
    tokenizer = _sentencepiece_bpe(controls, prefix=True)
    return _wrapped(tokenizer, _special(*controls), begins=True, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def codellama() -> Any:
    return llama2("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>")


def codestral() -> Any:
    """Marks of which the code after a gap has the first."""
    return llama2("[INST]", "[/INST]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]")


def gemma() -> Any:
    """The same without the space before, with marks of turns, unused ones and runs of lines."""
    controls = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
    added = [*_special(*controls), *_plain("<unused0>", "\n\n", "<table>")]
    tokenizer = _wrapped(
        *(_sentencepiece_bpe(controls, prefix=False), added),
        **{"begins": True, "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"},
    )
    tokenizer.chat_template = CASES["gemma"]
    return tokenizer


def _unigram(controls: Sequence[str], byte_fallback: bool) -> Tokenizer:
    letters = sorted({letter for text in CORPUS for letter in text.replace(" ", "\u2581")})
    scored = [(token, -6.0) for token in letters] + [("\u2581return", -3.0), ("\u2581def", -3.0)]
    all_bytes = [(f"<0x{byte:02X}>", 0.0) for byte in range(256)] if byte_fallback else []
    vocabulary = [*((control, 0.0) for control in controls), *all_bytes, *scored]
    tokenizer = Tokenizer(models.Unigram(vocabulary, controls.index("<unk>"), byte_fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    if byte_fallback:
        spaces, first = decoders.Replace("\u2581", " "), decoders.Strip(" ", 1, 0)
        tokenizer.decoder = decoders.Sequence([spaces, *[decoders.ByteFallback(), decoders.Fuse()], first])
    return tokenizer


def t5() -> Any:
    """A unigram model, whose own pieces hold the control tokens."""
    controls = ("<pad>", "</s>", "<unk>")
    tokenizer, special = _unigram(controls, byte_fallback=False), _special(*controls, "<extra_id_0>")
    return _wrapped(tokenizer, special, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")


def unigram_bytes() -> Any:
    """A unigram model with bytes for unknown letters."""
    controls = ("<unk>", "<s>", "</s>")
    tokenizer = _unigram(controls, byte_fallback=True)
    return _wrapped(tokenizer, _special(*controls), unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def bert() -> Any:
    """Word pieces, as sentence encoders have them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "cls", "sep", "mask", "pad"]
    letters = [chr(code) for code in range(97, 123)]
    vocabulary = [*words, *letters, *(f"##{letter}" for letter in letters), "=", "'", "unk"]
    tokenizer = Tokenizer(models.WordPiece({token: n for n, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _wrapped(tokenizer, _special(*words[:5]), unk_token="[UNK]", pad_token="[PAD]")


FAMILIES: dict[str, Callable[[], Any]] = {
    make.__name__: cache(make) for make in (llama3, starcoder, qwen, phi, neox, llama2, gemma, t5, unigram_bytes)
}
"""Families that write text back as it was; a tokenizer by name."""
