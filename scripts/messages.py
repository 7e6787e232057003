"""Keep the translations complete: `messages.py extract | compile | check`.

extract  collect every sentence of templates and Python, and bring each catalogue (.po) up to date with them
compile  make the .mo files that the server reads; they are committed, so that running needs no Babel
check    fail when a sentence has no translation, a place like %(name)s got lost, or a .mo is out of date

A sentence counts where people can meet it: `_("...")` in a template; in Python, in `FieldError`, `FormField`, `Rule`,
the detail and title of a Problem and the notice of a page, directly or by a name of the same module; in limits.toml.
Where it takes another way, it is marked with `msgid()`; check says where none can be seen.
"""

import ast
import io
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment
from jinja2.ext import extract_from_ast

from doorward.kernel import errors

SOURCE = Path(__file__).parents[1] / "src" / "doorward"
LOCALES = SOURCE / "locale"
DOMAIN = "doorward"
# What only programs read, or operators at the command line, stays English.
FOR_PROGRAMS = {
    SOURCE / "events" / "webhooks.py",
    SOURCE / "kernel" / "strict_json.py",
    SOURCE / "oidc" / "clients.py",
    SOURCE / "web" / "schemas.py",
    SOURCE / "web" / "system.py",
}
EPOCH = datetime(2026, 11, 23, tzinfo=UTC)  # catalogues carry no dates that change by themselves
PLACE = re.compile(r"%\(\w+\)s")


def kinds(root: type[errors.Problem] = errors.Problem) -> Iterator[type[errors.Problem]]:
    """A class of problems and all below it."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def _speaks_to_people(kind: type[errors.Problem]) -> bool:
    """Whether the first argument is a sentence for people. What OAuth answers is read by developers, in English."""
    return "detail" in signature(kind).parameters and not issubclass(kind, errors.OAuthRefused)


# Call -> where its sentences are: positions and keywords.
PLACES: Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "msgid": ((0,), ("text",)),
    "FieldError": ((2,), ("message",)),
    "FormField": ((1,), ("label", "hint", "error", "messages", "options")),
    "Rule": ((1, 3), ("label", "messages")),
    "form": ((), ("notice",)),
    "render": ((), ("notice",)),
    **{kind.__name__: ((0,), ("detail",)) for kind in kinds() if _speaks_to_people(kind)},
}


def sentences() -> list[str]:
    """Every msgid, sorted."""
    found = {kind.title for kind in kinds()}
    for template in (*SOURCE.glob("*/pages/*.html"), *SOURCE.glob("messages/mails/*")):
        found.update(in_template(template.read_text()))
    for _, tree in modules():
        found.update(in_module(tree))
    limits = tomllib.loads((SOURCE / "limits.toml").read_text())
    found.update(table["shown"] for table in limits.values() if "shown" in table)
    return sorted(found - {""})


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """The modules that may speak to people."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path not in FOR_PROGRAMS and SOURCE / "adapters" not in path.parents:  # adapters only repeat limits.toml
            yield path, ast.parse(path.read_text())


def in_template(source: str) -> Iterator[str]:
    """The msgids of a template."""
    for _, _, message in extract_from_ast(Environment(autoescape=True).parse(source), ("_",)):
        first = message[0] if isinstance(message, tuple) else message  # the others are the values of places
        if first is not None:
            yield first


def in_module(tree: ast.Module) -> Iterator[str]:
    """The msgids of a module."""
    names = assigned(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for argument in arguments(node):
                yield from texts(argument, names)


def unclear(tree: ast.Module) -> Iterator[int]:
    """Lines that put a sentence together or pass on a parameter, in a module that marks none with msgid()."""
    # A constant of another module is marked where it is made.
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    names, calls = assigned(tree).keys() | imported, [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if any(isinstance(call.func, ast.Name) and call.func.id == "msgid" for call in calls):
        return
    for call in calls:
        for argument in arguments(call):
            passed_on = isinstance(argument, ast.Name) and argument.id not in names
            if passed_on or isinstance(argument, ast.JoinedStr):
                yield call.lineno


def arguments(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that are sentences."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    positions, keywords = PLACES.get(name, ((), ()))
    yield from (call.args[position] for position in positions if position < len(call.args))
    yield from (keyword.value for keyword in call.keywords if keyword.arg in keywords)


def assigned(tree: ast.Module) -> Mapping[str, list[ast.expr]]:
    """Every value that a name is given anywhere in the module; of a function, what it returns."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                values.setdefault(name, []).append(value)
            case ast.FunctionDef(name=name):
                returns = [inner for inner in ast.walk(node) if isinstance(inner, ast.Return)]
                values.setdefault(name, []).extend(inner.value for inner in returns if inner.value)
            case _:
                pass
    return values


def texts(expression: ast.expr, names: Mapping[str, list[ast.expr]]) -> Iterator[str]:
    """The strings an expression can stand for, as far as the module shows."""
    match expression:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            others = {other: values for other, values in names.items() if other != name}
            yield from (text for value in names.get(name, ()) for text in texts(value, others))
        case _:
            yield from (text for part in parts(expression) for text in texts(part, names))


def parts(expression: ast.expr) -> Sequence[ast.expr]:
    """The expressions of which one is chosen."""
    match expression:
        case ast.IfExp(body=one, orelse=other):
            return one, other
        case ast.Dict(values=values):
            return values
        case ast.Subscript(value=value):
            return (value,)
        case ast.Tuple(elts=pairs):  # options: the label is the second of each pair
            return [pair.elts[1] for pair in pairs if isinstance(pair, ast.Tuple)]
        case _:
            return ()


def catalogues() -> Iterable[Path]:
    """The .po file of every language."""
    return sorted(LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def read(path: Path) -> Catalog:
    """Read a catalogue."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3], domain=DOMAIN)


def extract() -> int:
    """Bring the catalogues up to date: new sentences come in untranslated, old ones go."""
    for path in catalogues():
        before = read(path)
        after = Catalog(path.parts[-3], DOMAIN, "# Doorward's sentences; see scripts/messages.py.", "Doorward", "1",
                        msgid_bugs_address="-", creation_date=EPOCH, revision_date=EPOCH, last_translator="-",
                        language_team="-", fuzzy=False)  # fmt: skip
        for sentence in sentences():
            known = before.get(sentence)
            after.add(
                sentence, known.string if known else "", flags=["python-format"] if PLACE.search(sentence) else []
            )
        with path.open("wb") as file:
            write_po(file, after, width=120, sort_output=True)
    return 0


def compiled(path: Path) -> bytes:
    """The .mo file that belongs to a .po file."""
    file = io.BytesIO()
    write_mo(file, read(path))
    return file.getvalue()


def compile_() -> int:
    """Write the .mo files."""
    for path in catalogues():
        path.with_suffix(".mo").write_bytes(compiled(path))
    return 0


def faults(path: Path) -> Iterator[str]:
    """Everything wrong with one catalogue."""
    catalogue, wanted = read(path), sentences()
    for sentence in wanted:
        message = catalogue.get(sentence)
        translated = str(message.string) if message else ""
        if not translated or (message is not None and message.fuzzy):
            yield f"no translation of {sentence!r}"
        elif sorted(PLACE.findall(sentence)) != sorted(PLACE.findall(translated)):
            yield f"other places than in {sentence!r}"
    yield from (f"nobody says {m.id!r} any more" for m in catalogue if m.id and m.id not in wanted)
    binary = path.with_suffix(".mo")
    if not binary.exists() or binary.read_bytes() != compiled(path):
        yield "the .mo file is out of date: run `make messages`"


def check() -> int:
    """Print what is wrong; 1 when anything is."""
    found = [f"{path.relative_to(SOURCE)}: {fault}" for path in catalogues() for fault in faults(path)]
    found += [
        f"{path.relative_to(SOURCE)}:{line}: which sentence is this? Mark it where it stands with msgid()"
        for path, tree in modules()
        for line in unclear(tree)
    ]
    print("\n".join(found) or "Every sentence has its translations.")
    return 1 if found else 0


COMMANDS: Mapping[str, Callable[[], int]] = {"extract": extract, "compile": compile_, "check": check}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:  # noqa: PLR2004  one command
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]]())
