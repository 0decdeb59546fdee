"""The modules of the plug-in import each other in one direction, also for type checkers."""

from __future__ import annotations

import grimp

FLOOR = "pm_audit.pytest_plugin"


def test_no_module_imports_itself_by_way_of_others():
    graph = grimp.build_graph("pm_audit", exclude_type_checking_imports=False, cache_dir=None)
    imports = {
        module: {one for one in graph.find_modules_directly_imported_by(module) if FLOOR in one}
        for module in graph.modules
        if module.startswith(FLOOR)
    }
    assert imports[f"{FLOOR}.run"]
    while free := {module for module, imported in imports.items() if not imported & imports.keys()}:
        imports = {module: imported for module, imported in imports.items() if module not in free}
    assert imports == {}
