"""Tokenizers of many styles, each to be had under its special tokens' names and under others.

The second one is the oracle for special-token text that people wrote: it gives the same ids, and
to it the names of the first are ordinary text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "What is the capital of France? Paris. I do not know, but an atlas would tell you.",
    "Human: Assistant: user assistant system hello world boil an egg water minutes joke number",
    "The sea keeps its own time, and lends it to the shore. [INST] [/INST] <<SYS>> \n\n | < > _",
    "caf\u00e9 cafe\u0301 na\u00efve im_start im_end end start s bos eos think role",
] * 4
NAMES = {
    "bos": "<s>",
    "eos": "</s>",
    "pad": "<pad>",
    "unk": "<unk>",
    "start": "<|im_start|>",
    "end": "<|im_end|>",
    "role": "<|role|>",
}
OTHERS = {key: f"{{{{{key}-{key}}}}}" for key in NAMES}
"""Names that none of the texts hold, with outer characters of the same kind."""

Names = dict[str, str]


def _wrap(tokenizer: Tokenizer, names: Names, **options: Any) -> PreTrainedTokenizerFast:
    for flags in options.pop("flags", ()):
        key = flags.pop("key")
        tokenizer.add_special_tokens([AddedToken(names[key], special=True, **flags)])
    tokenizer.add_special_tokens([names[key] for key in NAMES])
    for word in options.pop("ordinary", ()):
        tokenizer.add_tokens([AddedToken(word, special=False)])
    framed = options.pop("framed", "")
    if framed:
        single = [names["bos"]] if "b" in framed else []
        single += ["$A"] + ([names["eos"]] if "e" in framed else [])
        ids = [(names[key], tokenizer.token_to_id(names[key])) for key in ("bos", "eos")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(single), special_tokens=ids
        )
    return _held(tokenizer, names)


def _held(tokenizer: Tokenizer, names: Names) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=names["bos"],
        eos_token=names["eos"],
        pad_token=names["pad"],
        unk_token=names["unk"],
    )


def _byte_level(names: Names, **options: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(ignore_merges=options.pop("ignore_merges", False)))
    tokenizer.normalizer = options.pop("normalizer", None)
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=options.pop("prefix", False))
    tokenizer.pre_tokenizer = options.pop("pre_tokenizer", bytes_of)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=[names[key] for key in options.pop("in_model", ())],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if options.pop("trims", False):
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return _wrap(tokenizer, names, **options)


def _sentencepiece_bpe(names: Names, **options: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=names["unk"], fuse_unk=True))
    scheme = options.pop("scheme", None)
    if scheme is None:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[names["unk"], names["bos"], names["eos"]]
        + [f"<0x{byte:02X}>" for byte in range(256)],
        initial_alphabet=["\u2581", *map(chr, range(33, 127))],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer, names, **options)


def _unigram(names: Names, **options: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = options.pop("normalizer", None)
    tokenizer.pre_tokenizer = options.pop("pre_tokenizer", None)
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=[names["unk"], names["bos"], names["eos"], names["end"]],
        unk_token=names["unk"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer, names, **options)


def _words(names: Names, *, pieces: bool) -> PreTrainedTokenizerFast:
    in_model = [names["unk"], names["end"], names["start"]]
    trainer: Any
    if pieces:
        tokenizer = Tokenizer(models.WordPiece(unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=in_model, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=names["unk"]))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.WordLevelTrainer(special_tokens=in_model, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer, names, framed="be")


_LLAMA_3 = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r"\p{L}+| ?[^\s\p{L}]+[\r\n]*|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
_STRIPPING = (
    {"key": "role", "rstrip": True, "normalized": False},
    {"key": "end", "lstrip": True, "rstrip": True, "normalized": False},
    {"key": "start", "single_word": True, "normalized": True},
)
_NORMALIZED = (
    {"key": "end", "normalized": True},
    {"key": "role", "normalized": True, "lstrip": True},
)

STYLES: dict[str, Callable[[Names], PreTrainedTokenizerFast]] = {
    "byte-level": lambda names: _byte_level(names, in_model=("bos", "end")),
    "byte-level, trimmed offsets, added words": lambda names: _byte_level(
        names, trims=True, ordinary=("im_", "\n\n", "<think>", "Paris")
    ),
    "byte-level, ignoring merges": lambda names: _byte_level(
        names, ignore_merges=True, pre_tokenizer=_LLAMA_3, framed="b", in_model=("end",)
    ),
    "byte-level, prefix space": lambda names: _byte_level(names, prefix=True),
    "byte-level, NFC": lambda names: _byte_level(names, normalizer=normalizers.NFC()),
    "byte-level, BOS and EOS": lambda names: _byte_level(names, framed="be"),
    "stripping special tokens": lambda names: _byte_level(names, flags=map(dict, _STRIPPING)),
    "normalized special tokens": lambda names: _byte_level(
        names, normalizer=normalizers.Lowercase(), flags=map(dict, _NORMALIZED)
    ),
    "metaspace first": lambda names: _sentencepiece_bpe(names, scheme="first", framed="b"),
    "metaspace always": lambda names: _sentencepiece_bpe(names, scheme="always", framed="b"),
    "metaspace never": lambda names: _sentencepiece_bpe(names, scheme="never"),
    "prepending BPE": lambda names: _sentencepiece_bpe(names, framed="b"),
    "prepending BPE, normalized": lambda names: _sentencepiece_bpe(
        names, flags=map(dict, _NORMALIZED), framed="be"
    ),
    "unigram, prepending": lambda names: _unigram(
        names,
        normalizer=normalizers.Sequence(
            [
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
                normalizers.Prepend("\u2581"),
                normalizers.Replace(" ", "\u2581"),
            ]
        ),
    ),
    "unigram, metaspace": lambda names: _unigram(
        names, pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"), framed="e"
    ),
    "word pieces": lambda names: _words(names, pieces=True),
    "whole words": lambda names: _words(names, pieces=False),
}

_EACH = "{% for m in messages %}"
TEMPLATES = {
    "chatml": _EACH + "{{ '<start>' + m['role'] + '\n' + m['content'] + '<end>\n' }}{% endfor %}",
    "no newline": _EACH + "{{ '<role>' + m['content'] + '<end>' }}{% endfor %}",
    "phi": _EACH + "{{ '<role>\n' + m['content'] + ' <end>\n' }}{% endfor %}",
    "inst": "{{ bos_token }}" + _EACH + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] "
    "+ ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}",
    "headers, trimmed": "{{ bos_token }}" + _EACH + "{{ '<start>' + m['role'] + '<role>\n\n' + "
    "(m['content'] | trim) + '<end>' }}{% endfor %}",
    "bare": _EACH + "{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}{{ eos_token }}",
}


def renamed(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the same tokenizer with its special tokens under other names.

    Training it twice would not do: trainers order equal counts by chance.
    """
    rules = tokenizer.backend_tokenizer.to_str()
    for key, name in NAMES.items():
        rules = rules.replace(f'"{name}"', f'"{OTHERS[key]}"')
    spec = json.loads(rules)
    # bytes are special tokens in some tokenizers: here they are but pieces of the model
    spec["added_tokens"] = [t for t in spec["added_tokens"] if not t["content"].startswith("<0x")]
    rules = json.dumps(spec)
    return _held(Tokenizer.from_str(rules), OTHERS)


def template(name: str, names: Names) -> str:
    """Return a template that writes special tokens under these names."""
    written = TEMPLATES[name]
    for key in ("start", "end", "role"):
        written = written.replace(f"<{key}>", names[key])
    return written
