"""Prints the structure of the code as a table: ``python -m tests.structure [CHECKOUT …]``, by default this checkout.

Imports are read as text by grimp: at the top of a module, inside functions and under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path


def graph_of(folder: Path) -> dict[str, set[str]]:
    """Return the modules of ``tmi`` in a checkout, each with the modules of ``tmi`` that it imports."""
    import grimp

    sys.path.insert(0, str(folder))
    try:
        graph = grimp.build_graph("tmi", cache_dir=None)
    finally:
        sys.path.remove(str(folder))
    # `tmi` itself only hands names on.
    modules = graph.modules - {"tmi"}
    return {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected components, each after those that it imports (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for imported in sorted(graph[module]):
            if imported not in order:
                visit(imported)
            if imported in stack:
                low[module] = min(low[module], low[imported])
        if low[module] == order[module]:
            component = set()
            while module not in component:
                component.add(stack.pop())
            result.append(component)

    sys.setrecursionlimit(10_000)
    for module in sorted(graph):
        if module not in order:
            visit(module)
    return result


def package_graph(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports between what lies directly in ``tmi``."""

    def top(module: str) -> str:
        return module.split(".")[1]

    packages: dict[str, set[str]] = {top(module): set() for module in graph}
    for module, imported in graph.items():
        packages[top(module)] |= {top(other) for other in imported} - {top(module)}
    return packages


def depth(graph: dict[str, set[str]]) -> int:
    """Return the length of the longest chain of imports; modules that import each other in a circle count as one."""
    levels: dict[str, int] = {}
    for component in components(graph):
        below = [levels[other] for module in component for other in graph[module] if other not in component]
        levels |= dict.fromkeys(component, 1 + max(below, default=0))
    return max(levels.values())


def lines_of(file: Path) -> tuple[int, int, int, int]:
    """Return the lines of code, of docstrings, of comments alone, and blank ones."""
    text = file.read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        for part in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str):
                documented |= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    code: set[int] = set()
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in skipped:
            code |= set(range(token.start[0], token.end[0] + 1))
    code -= documented
    total = len(text.splitlines())
    alone = comments - code - documented
    return len(code), len(documented), len(alone), total - len(code) - len(documented) - len(alone)


def functions(files: list[Path], root: Path) -> Iterator[tuple[int, str]]:
    """Yield the length and the name of every function."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{node.name} in {file.relative_to(root)}"


def row(folder: Path, part: str) -> dict[str, str]:
    """Return the figures of ``tmi`` or ``plugins`` in a checkout."""
    files = sorted((folder / part).rglob("*.py"))
    code, documented, comments, blank = (sum(counts) for counts in zip(*map(lines_of, files), strict=True))
    sizes = sorted((len(file.read_text(encoding="utf-8").splitlines()), str(file.relative_to(folder))) for file in files)
    lengths = sorted(functions(files, folder))
    figures = {
        "files": f"{len(files)}",
        "lines": f"{code + documented + comments + blank:,}",
        "of code, docstrings, comments, blank": f"{code:,}, {documented:,}, {comments:,}, {blank:,}",
        "median file": f"{sizes[len(sizes) // 2][0]}",
        "largest file": f"{sizes[-1][0]} ({sizes[-1][1]})",
        "longest function": f"{lengths[-1][0]} ({lengths[-1][1]})",
        "95th percentile function": f"{lengths[int(0.95 * len(lengths))][0]}",
    }
    if part == "tmi":
        graph = graph_of(folder)
        circles = [component for component in components(graph) if len(component) > 1]
        packages = package_graph(graph)
        figures |= {
            "longest chain of imports, module by module": f"{depth(graph)}",
            "circles of modules": f"{len(circles)} ({sum(map(len, circles))} modules)",
            "layers, by what lies directly in tmi": f"{depth(packages)} of {len(packages)}",
            "circles between these": f"{sum(len(component) > 1 for component in components(packages))}",
        }
    return figures


def main(*folders: str) -> None:
    """Print a table for each part of each checkout."""
    paths = [Path(folder).resolve() for folder in folders] or [Path(__file__).parents[1]]
    for part in ("tmi", "plugins"):
        columns = [row(path, part) for path in paths]
        print(f"\n{part}/")
        for name in columns[0]:
            print(f"  {name:<45}" + "  |  ".join(column[name] for column in columns))


if __name__ == "__main__":
    main(*sys.argv[1:])
