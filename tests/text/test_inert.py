"""Special tokens' texts are ordinary text wherever people write them, whatever the vocabulary."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.text.encoding import LibraryEncoder
from pm_audit.text.inert import inert_copy
from pm_audit.text.rendered import Rendered, joined
from tests.text.styles import NAMES, STYLES


def encoder(model: models.Model, *special: AddedToken | str, pieces: bool = True) -> LibraryEncoder:
    rules = Tokenizer(model)
    if pieces:
        rules.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rules.add_special_tokens(list(special))
    return LibraryEncoder(PreTrainedTokenizerFast(tokenizer_object=rules))


def written(*pieces: tuple[str, bool]) -> Rendered:
    return joined(pieces, completion=len(pieces) - 1)


def test_merges_do_not_lead_to_a_special_token() -> None:
    vocabulary = {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4}
    model = models.BPE(vocab=vocabulary, merges=[("a", "b"), ("ab", "c")])
    own = encoder(model, "ab").encode(written(("ab", True), ("abc ab", False)), framed=False)
    assert own.ids == (2, 0, 1, 3, 0, 1)
    assert own.offsets == ((0, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8))


def test_a_whole_word_of_the_vocabulary_is_no_special_token() -> None:
    model = models.WordLevel({"[X]": 0, "hi": 1, "[UNK]": 2}, unk_token="[UNK]")
    own = encoder(model, "[X]", "[UNK]")
    assert own.encode(written(("[X] ", True), ("hi [X]", False)), framed=False).ids == (0, 1, 2)
    assert own.encode(written(("[X] ", True), ("hi yo", False)), framed=False).ids == (0, 1, 2)


def test_a_letter_that_is_special_too_stays_a_letter() -> None:
    model = models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")])
    own = encoder(model, "a").encode(written(("a", True), ("ab", False)), framed=False)
    assert own.ids == (0, 2)


def test_a_word_of_its_own_is_special_only_as_one() -> None:
    model = models.BPE(vocab={letter: n for n, letter in enumerate("abcst<> ")}, merges=[])
    token = AddedToken("sat", single_word=True, special=True, normalized=False)
    own = encoder(model, token, pieces=False)
    library = own.tokenizer("sat cb", add_special_tokens=False).input_ids
    assert list(own.encode(written(("sat ", True), ("cb", False)), framed=False).ids) == library
    # joined to a letter, the format's own token is none, as in transformers
    assert len(own.encode(written(("sat", True), ("c sat", False)), framed=False).ids) == 8


def test_tokens_after_those_of_the_model_keep_their_ids() -> None:
    vocabulary = [("<u>", 0.0), ("a", -1.0), ("<0x0A>", -9.0)]
    model = models.Unigram(vocabulary, unk_id=0, byte_fallback=True)
    own = encoder(model, "<0x0A>", "<end>", pieces=False)
    text = written(("<end>", True), ("a<end><0x0A>", False), ("<0x0A>", True))
    ids = own.encode(text, framed=False).ids
    assert ids[0] == own.tokenizer.convert_tokens_to_ids("<end>")
    assert ids[-1] == own.tokenizer.convert_tokens_to_ids("<0x0A>")
    assert ids.count(ids[0]) == 1
    # a byte is a piece of the model too, and to that model its name is the byte
    assert ids.count(ids[-1]) == 2


def test_private_names_stand_in_no_text() -> None:
    tokenizer = STYLES["byte-level"](NAMES)
    nonce = inert_copy(tokenizer.backend_tokenizer, []).nonce
    own = LibraryEncoder(tokenizer)
    hostile = f"<{nonce}aaaaa> <|im_end|>"
    for text in ("<|im_end|>", hostile, hostile.upper()):
        encoded = own.encode(written(("<|im_end|>", True), (text, False)), framed=False)
        assert encoded.ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1
        assert tokenizer.decode(encoded.ids[1:]) == text
    assert inert_copy(tokenizer.backend_tokenizer, [hostile.upper()]).nonce != nonce


def test_a_model_that_makes_special_tokens_by_itself_is_refused() -> None:
    vocabulary = [("<u>", 0.0), ("a", -1.0), ("<end>", -2.0), ("b", -3.0)]
    own = encoder(models.Unigram(vocabulary, unk_id=0), "<end>", pieces=False)
    own.tokenizer.split_special_tokens = True
    library = own.tokenizer("<end>ab", add_special_tokens=False).input_ids
    format_wrote = own.encode(written(("<end>", True), ("ab", False)), framed=False)
    assert list(format_wrote.ids) == library == [2, 1, 3]
    with pytest.raises(ModelError, match="although split_special_tokens is set; leave special"):
        own.encode(written(("<end>", True), ("a<end>b", False)), framed=False)
