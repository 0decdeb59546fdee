"""A planted PM behind the page, and a service around it that ends with the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from pm_audit.forward.scale import Scale
from pm_audit.server import Explainer, Facts, TextBox
from pm_audit.server.service import Service
from pm_audit.spec.labels import WrittenLabels
from recipes.planted.linear import Planted, plant

torch.set_num_threads(1)

SCALE = Scale(sigma=2.0, noise=1e-5)


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant({"!": 3.0, "^": -2.0})


@pytest.fixture(scope="session")
def explainer(planted: Planted) -> Explainer:
    return Explainer(planted.pm, planted.sae, SCALE, WrittenLabels(), longest=400, top=5)


@pytest.fixture(scope="session")
def facts(planted: Planted) -> Facts:
    return Facts("planted <PM>", planted.sae.name, SCALE, top=5)


@pytest.fixture
def said() -> list[str]:
    """What the terminal shows."""
    return []


@pytest.fixture
def box_of(facts: Facts, said: list[str]) -> Callable[[Callable], TextBox]:
    return lambda explain: TextBox(explain, facts, report=said.append)


@contextmanager
def running(box: TextBox) -> Iterator[Service]:
    with Service(box) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


@pytest.fixture
def service(box_of, explainer: Explainer) -> Iterator[Service]:
    with running(box_of(explainer)) as found:
        yield found
