"""The probe finds a planted direction, reads each text once, and resumes."""

from dataclasses import replace

import torch

from recipes.train.logistic_head import PENALTIES, fit_probe, frozen_states
from recipes.train.preferences import Pair


def planted(count: int) -> tuple[list[Pair], dict[tuple[str, str], torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(8)
    truth[2] = 3.0
    pairs, states = [], {}
    for number in range(count):
        one, other = torch.randn(2, 8, generator=generator)
        first, second = (" a", " b") if one @ truth > other @ truth else (" b", " a")
        prompt = f"prompt {number}"
        states[prompt, " a"], states[prompt, " b"] = one, other
        pairs.append(Pair("even" if number % 2 else "odd", str(number), prompt, first, second))
    return pairs, states


def test_a_planted_direction_is_found():
    pairs, states = planted(200)
    probe = fit_probe(pairs, states, toward=torch.zeros(8), emphasis={}, penalties=PENALTIES)
    assert int(probe.weight.abs().argmax()) == 2
    assert probe.macro > 0.9
    assert set(probe.accuracy) == {"even", "odd"}


def test_emphasis_decides_where_sources_disagree():
    pairs, states = planted(200)
    # the odd source prefers the very opposite
    pairs = [
        pair if pair.source == "even" else replace(pair, chosen=pair.rejected, rejected=pair.chosen)
        for pair in pairs
    ]

    def weight(source: str) -> float:
        probe = fit_probe(
            pairs, states, toward=torch.zeros(8), emphasis={source: 10.0}, penalties=[0.1]
        )
        return float(probe.weight[2])

    assert weight("even") > 0.1
    assert weight("odd") < -0.1


def test_a_given_penalty_is_taken_and_draws_toward_where_it_should():
    pairs, states = planted(200)
    toward = torch.full((8,), 0.5)
    loose, tight = (
        fit_probe(pairs, states, toward=toward, emphasis={}, penalties=[penalty])
        for penalty in (0.01, 100.0)
    )
    assert tight.penalty == 100.0
    assert torch.allclose(tight.weight, toward, atol=0.02)
    assert not torch.allclose(loose.weight, toward, atol=0.3)


def test_states_are_read_once_and_kept_under_their_texts(tmp_path):
    texts = [("p" * length, "c") for length in (5, 1, 3)]
    calls = []

    def read(written):
        calls.extend(written)
        return torch.tensor([[float(len(text))] for text in written])

    def told(_):
        return None

    first = frozen_states(texts, read, tmp_path, report=told)
    again = frozen_states(texts, read, tmp_path, report=told)
    assert len(calls) == 3
    for text in texts:
        assert float(first[text]) == float(again[text]) == len(text[0]) + 1
