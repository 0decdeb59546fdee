import pytest

from recipes.train.schedule import warm_cosine


def test_the_rate_rises_to_the_whole_and_falls_to_its_least() -> None:
    rates = [warm_cosine(step, warmup=4, steps=20, least=0.1) for step in range(21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[12] == pytest.approx(0.55)
    assert rates[20] == pytest.approx(0.1)
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert warm_cosine(99, warmup=4, steps=20, least=0.1) == pytest.approx(0.1)
