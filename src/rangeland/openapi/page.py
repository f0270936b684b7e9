"""The document as one page for people: plain HTML that loads and runs nothing, light and dark, wide and narrow."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rangeland.openapi.document import Json
from rangeland.openapi.fields import Field, fields_of, type_text

_STYLE = Path(__file__).with_name("page.css")
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page_of(document: Json) -> str:
    """The whole page; its one style sheet stands between `<style>` and `</style>`."""
    return _PAGE.format(
        title=f"{_escaped(document['info']['title'])} API",
        style=_STYLE.read_text("utf-8"),
        body="\n".join(_body(document)),
    )


def _body(document: Json) -> Iterator[str]:
    info = document["info"]
    yield f"<h1>{_escaped(info['title'])} API <span class=mark>v{_escaped(info['version'])}</span></h1>"
    yield from _paragraphs(info["description"])
    yield '<p>For programs: <a href="/api/v2/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
    yield from _contents(document)
    yield '<h2 id="access">Access</h2>'
    for scheme in document["components"]["securitySchemes"].values():
        yield f"<p><code>{_escaped(scheme['name'])}</code> ({scheme['in']}): {_inline(scheme['description'])}</p>"
    for tag in document["tags"]:
        yield f'<h2 id="{tag["name"]}">{_escaped(tag["name"].replace("_", " "))}</h2>'
        for path, method, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                yield from _operation(path, method, operation)
    yield '<h2 id="types">Types</h2>'
    for name, schema in document["components"]["schemas"].items():
        yield from _type(name, schema)


def _contents(document: Json) -> Iterator[str]:
    yield "<nav><ul>"
    for path, method, operation in _operations(document):
        yield f'<li><a href="#{operation["operationId"]}"><code>{method.upper()} {_escaped(path)}</code></a></li>'
    yield '<li><a href="#types">Types</a></li></ul></nav>'


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _operation(path: str, method: str, operation: Json) -> Iterator[str]:
    mark = f'<span class="mark">{_escaped(operation["x-stability"])}</span>'
    title = f'<span class="method">{method.upper()}</span> <code>{_escaped(path)}</code> {mark}'
    yield f'<h3 id="{operation["operationId"]}">{title}</h3>'
    yield f"<p>{_inline(operation['description'])}</p>"
    parameters = [
        (parameter["name"], parameter["in"], parameter["schema"], parameter["description"])
        for parameter in operation["parameters"]
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        parameters += [
            (name, "form", schema, schema["description"]) for name, schema in content["schema"]["properties"].items()
        ]
    if parameters:
        rows = [[_code(name), where, _type_cell(schema), _inline(text)] for name, where, schema, text in parameters]
        yield from _table(("parameter", "in", "type", ""), rows)
    yield from _table(("status", "body", ""), _answers(operation["responses"]))
    for content in operation["responses"]["200"]["content"].values():
        if "example" in content:
            example = content["example"]
            text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
            yield f"<details><summary>An answer, shortened</summary><pre>{_escaped(text)}</pre></details>"


def _answers(responses: Json) -> Iterator[list[str]]:
    for status, response in responses.items():
        for media_type, content in response["content"].items():
            if examples := content.get("examples"):
                for example in examples.values():
                    yield [status, _code(example["value"].splitlines()[0]), _inline(example["summary"])]
            else:
                body = _type_cell(content["schema"]) if "$ref" in content["schema"] else _escaped(media_type)
                yield [status, body, _inline(response["description"])]


def _type(name: str, schema: Json) -> Iterator[str]:
    yield f'<h3 id="type-{name}"><code>{name}</code></h3>'
    yield from _paragraphs(schema["description"])
    if fields := fields_of(schema):
        yield from _table(("field", "type", "there", ""), [_field_row(field) for field in fields])


def _field_row(field: Field) -> list[str]:
    mark = ' <span class="mark">added</span>' if field.is_addition else ""
    return [_code(field.name) + mark, _type_cell(field.schema), field.presence, _inline(field.text)]


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield '<div class="wide"><table><tr>' + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</table></div>"


def _type_cell(schema: Json) -> str:
    """The type's words; a type of ours leads to its table."""
    return re.sub(r"\b([A-Z]\w*[a-z]\w*)\b", r'<a href="#type-\1">\1</a>', _escaped(type_text(schema)))


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs at empty lines; lines that begin with a star are a list."""
    for block in text.split("\n\n"):
        if block.startswith("* "):
            yield "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block[2:].split("\n* ")) + "</ul>"
        else:
            yield f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _escaped(text))


def _code(text: str) -> str:
    return f"<code>{_escaped(text)}</code>"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
