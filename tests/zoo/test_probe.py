"""The probe finds a planted direction, reads each text once, and resumes."""

import torch

from pm_audit.zoo.preferences import Pair
from pm_audit.zoo.probe import fit_probe, frozen_states


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
    probe = fit_probe(pairs, states, toward=torch.zeros(8), emphasis={})
    assert int(probe.weight.abs().argmax()) == 2
    assert probe.macro > 0.9
    assert set(probe.accuracy) == {"even", "odd"}


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
