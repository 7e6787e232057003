"""What import-linter's stair (pyproject.toml) does not say: doors, and who may know what."""

import ast
import sys
from pathlib import Path

from tests.support.sources import PACKAGE, imported, modules

SHARED = {"kernel", "sql", "ports", "web", "adapters", "testing"}  # their modules are open to whoever stands above them
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("time", "time"), ("time", "time_ns")}


def test_a_room_enters_another_only_through_its_door() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - SHARED
    burglars = [
        f"{path}: {name}"
        for path, tree in modules()
        for name in imported(tree)
        if _inside(name, rooms) and path.parts[0] != name.split(".")[1]
    ]
    assert not burglars


def _inside(name: str, rooms: set[str]) -> bool:
    """Whether `name` is a module within a room: not the room itself, and nothing its door hands out."""
    parts = name.split(".")
    if parts[0] != "doorward" or len(parts) < 3 or parts[1] not in rooms:
        return False
    inner = PACKAGE / parts[1] / parts[2]
    return inner.is_dir() or inner.with_suffix(".py").is_file()


def test_only_routes_and_web_know_the_http_framework() -> None:
    knowing = {str(path) for path, tree in modules() if any(_is_of(name, "starlette") for name in imported(tree))}
    assert not {path for path in knowing if not _may_know_http(Path(path))}


def _may_know_http(path: Path) -> bool:
    return (
        path.parts[0] in {"web", "app.py"}
        or path.name in {"routes.py", "api.py"}
        or path.match("*_routes.py")
        or path.match("*_api.py")
    )


def test_the_kernel_needs_only_the_standard_library_and_one_for_domain_names() -> None:
    """Python's own idna codec takes two domains for one."""
    allowed = sys.stdlib_module_names | {"doorward", "idna"}
    foreign = [
        f"{path}: {name}"
        for path, tree in modules()
        for name in imported(tree)
        if path.parts[0] == "kernel" and name.partition(".")[0] not in allowed
    ]
    assert not foreign


def test_the_time_comes_in_by_the_clock() -> None:
    looked = [
        f"{path}:{call.lineno}"
        for path, tree in modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _reads_the_time(call) and path != Path("adapters/clock.py")
    ]
    assert not looked


def _reads_the_time(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return (owner, name) in CLOCKS
        case _:
            return False


def test_routes_contain_no_try() -> None:
    trying = [
        f"{path}:{node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if path.name == "routes.py" and isinstance(node, ast.Try)
    ]
    assert not trying


def _is_of(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")
