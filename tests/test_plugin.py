"""The stub that every project with pm_audit installed imports."""

from __future__ import annotations

import subprocess
import sys


def test_a_plain_run_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    code = (
        "import sys, pytest\n"
        f"status = pytest.main(['-q', {str(tmp_path)!r}, '-p', 'no:cacheprovider'])\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'scipy', 'pandas'}\n"
        "heavy.add('pm_audit.pytest_plugin.run')\n"
        "assert 'pm_audit.pytest_plugin.plugin' in sys.modules\n"
        "print(sorted(heavy & set(sys.modules)), int(status))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        env={
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "pm_audit.pytest_plugin.plugin",
        },
    )
    assert finished.stdout.splitlines()[-1] == "[] 0"


def test_the_plugin_adds_at_most_thirty_milliseconds():
    code = (
        "import time, pytest\nfrom pathlib import Path\nfrom typing import Any\n"
        "start = time.process_time()\nimport pm_audit.pytest_plugin.plugin\n"
        "print(time.process_time() - start)\n"
    )
    seconds = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(3)
    )
    assert seconds <= 0.030
