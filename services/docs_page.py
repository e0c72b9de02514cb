"""The API documentation at /docs: one page, made from the application's own OpenAPI document, without any foreign host.

It holds no script and loads nothing: text, a style sheet inside the page, and `<details>` that the browser folds.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources
from typing import Any, Final

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse

PATH: Final = "/docs"
ACCESS: Final = "x-access"
"""An operation's member that names what it needs where OpenAPI has no security scheme for it."""

METHODS: Final = ("get", "post", "put", "patch", "delete")
DEEPEST: Final = 6
"""Levels of nested shapes that are shown inside one another; deeper ones are named."""

Json = Mapping[str, Any]


def install(app: FastAPI) -> None:
    """Serve the page at /docs. The application must have been built with `docs_url=None`."""
    style = (resources.files("services") / "docs_page.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    async def docs(_: Request) -> HTMLResponse:
        return HTMLResponse(render(app.openapi(), style), headers=headers)

    app.add_route(PATH, docs, methods=["GET"], include_in_schema=False)


def render(document: Json, style: str = "") -> str:
    """Return the page of an OpenAPI 3 document. Everything from the document is escaped."""
    info = document.get("info", {})
    operations = list(_operations(document))
    title = escape(info.get("title", "API"))
    links = "".join(
        f'<li><a href="#{one.anchor}"><span class="verb {one.verb}">{one.verb.upper()}</span> '
        f"<code>{escape(one.path)}</code></a></li>"
        for one in operations
    )
    body = "".join(one.html() for one in operations)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{style}</style></head><body>'
        '<a class="skip" href="#operations">Skip to the operations</a>'
        f'<header><h1>{title}</h1><p class="version">version {escape(str(info.get("version", "")))}</p>'
        f"{_prose(info.get('description', ''))}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>. Errors are problem documents '
        "(<code>application/problem+json</code>, RFC 9457).</p></header>"
        f'<nav aria-label="Operations"><h2>Operations</h2><ul>{links}</ul></nav>'
        f'<main id="operations">{body}</main></body></html>\n'
    )


def _operations(document: Json) -> Iterator["_Operation"]:
    for path, item in document.get("paths", {}).items():
        for verb in METHODS:
            if verb in item:
                yield _Operation(document, path, verb, item[verb])


class _Operation:
    """One path and method."""

    def __init__(self, document: Json, path: str, verb: str, said: Json) -> None:
        self.path = path
        self.verb = verb
        self.anchor = verb + re.sub(r"[^a-z0-9]+", "-", path.lower())
        self._document = document
        self._said = said

    def html(self) -> str:
        said = self._said
        parts = [
            f'<section id="{self.anchor}" aria-labelledby="{self.anchor}-title">'
            f'<h2 id="{self.anchor}-title"><span class="verb {self.verb}">{self.verb.upper()}</span> '
            f"<code>{escape(self.path)}</code></h2>",
            f'<p class="summary">{_inline(said.get("summary", ""))}</p>' if said.get("summary") else "",
            _prose(said.get("description", "")),
            self._access(),
            self._parameters(),
            self._body(),
            self._responses(),
            "</section>",
        ]
        return "".join(parts)

    def _access(self) -> str:
        needed = self._said.get("security", self._document.get("security", []))
        names = ", ".join(escape(name) for choice in needed for name in choice) or escape(self._said.get(ACCESS, ""))
        return f'<p class="access">Needs: <strong>{names}</strong></p>' if names else '<p class="access">Open.</p>'

    def _parameters(self) -> str:
        rows = ""
        for one in self._said.get("parameters", []):
            one = _resolved(self._document, one)
            needed = "required" if one.get("required") else "optional"
            kind = _kind(self._document, one.get("schema", {}))
            says = _inline(one.get("description") or one.get("schema", {}).get("description") or "")
            rows += (
                f'<tr><th scope="row"><code>{escape(one["name"])}</code></th><td>{escape(one["in"])}, {needed}</td>'
                f"<td>{kind}</td><td>{says}</td></tr>"
            )
        if not rows:
            return ""
        head = "<tr><th>name</th><th>where</th><th>type</th><th>meaning</th></tr>"
        return f'<h3>Parameters</h3><div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'

    def _body(self) -> str:
        body = _resolved(self._document, self._said.get("requestBody", {}))
        if not body:
            return ""
        return f"<h3>Body</h3>{_prose(body.get('description', ''))}{self._content(body)}"

    def _responses(self) -> str:
        parts = []
        for status, answer in sorted(self._said.get("responses", {}).items()):
            answer = _resolved(self._document, answer)
            content = self._content(answer)
            says = _inline(answer.get("description", ""))
            colour = "good" if status.startswith("2") else "bad"
            line = f'<span class="status {colour}">{escape(status)}</span> {says}'
            shown = f"<details><summary>{line}</summary>{content}</details>" if content else f"<p>{line}</p>"
            parts.append(f'<div class="answer">{shown}</div>')
        return "<h3>Answers</h3>" + "".join(parts) if parts else ""

    def _content(self, holder: Json) -> str:
        parts = []
        for media, said in holder.get("content", {}).items():
            schema = said.get("schema", {})
            if not schema and not said.get("example"):
                continue
            parts.append(f'<p class="media"><code>{escape(media)}</code></p>{_shape(self._document, schema, 0)}')
            parts.append(_examples(said, _resolved(self._document, schema)))
        return "".join(parts)


def _examples(said: Json, schema: Json) -> str:
    shown = [said["example"]] if "example" in said else [one.get("value") for one in said.get("examples", {}).values()]
    shown = shown or [schema["example"]] if "example" in schema else shown or list(schema.get("examples", []))
    return "".join(
        f"<details open><summary>Example</summary><pre><code>{escape(_pretty(one))}</code></pre></details>"
        for one in shown
    )


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _resolved(document: Json, value: Json) -> Json:
    """Follow `$ref` within the document. An unknown one is an empty object."""
    seen = 0
    while "$ref" in value and seen < DEEPEST:
        found: Any = document
        for part in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        value, seen = found, seen + 1
    return value


def _kind(document: Json, schema: Json) -> str:
    """Return a schema in a few words, as HTML."""
    full = _resolved(document, schema)
    choices = full.get("anyOf") or full.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_kind(document, one) for one in choices))
    if "const" in full:
        return f"<code>{escape(_pretty(full['const']))}</code>"
    if "enum" in full:
        return "one of " + ", ".join(f"<code>{escape(str(one))}</code>" for one in full["enum"])
    kind = full.get("type", "object" if "properties" in full else "any")
    if isinstance(kind, list):
        return " or ".join(escape(str(one)) for one in kind)
    if kind == "array":
        return "list of " + _kind(document, full.get("items", full.get("prefixItems", [{}])[0]))
    if kind == "object" and full.get("title"):
        return escape(full["title"])
    return escape(str(kind)) + _bounds(full)


def _bounds(schema: Json) -> str:
    said = [str(schema["format"])] if "format" in schema else []
    words = (
        ("minimum", "at least"), ("maximum", "at most"), ("minLength", "length at least"),
        ("maxLength", "length at most"), ("pattern", "like"),
    )  # fmt: skip
    said += [f"{word} {schema[name]}" for name, word in words if name in schema]
    return f" <small>({escape(', '.join(said))})</small>" if said else ""


def _shape(document: Json, schema: Json, depth: int) -> str:
    """Return an object's members as a table; members that are objects are folded inside it."""
    full = _resolved(document, schema)
    inner = _inner(document, full)
    if not inner.get("properties"):
        return f"<p>{_kind(document, full)}</p>{_prose(full.get('description', ''))}" if depth == 0 and full else ""
    needed = set(inner.get("required", []))
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code>{_mark(name in needed)}</th>'
        f"<td>{_kind(document, one)}</td><td>{_meaning(document, one)}</td></tr>{_members(document, one, depth)}"
        for name, one in inner["properties"].items()
    )
    prefix = f"<p>{_kind(document, full)}</p>" if inner is not full and depth == 0 else ""
    about = _prose(inner.get("description", "")) if depth == 0 else ""
    return f'{prefix}{about}<div class="wide"><table><tbody>{rows}</tbody></table></div>'


def _mark(needed: bool) -> str:
    return ' <span class="needed">required</span>' if needed else ""


def _inner(document: Json, schema: Json) -> Json:
    """Return the object that a schema is, lists, or may be."""
    for _ in range(DEEPEST):
        if schema.get("properties"):
            return schema
        choices = [_resolved(document, one) for one in schema.get("anyOf") or schema.get("oneOf") or ()]
        objects = [one for one in choices if one.get("properties")] or [one for one in choices if "items" in one]
        if objects:
            schema = objects[0]
        elif isinstance(schema.get("items"), Mapping):
            schema = _resolved(document, schema["items"])
        else:
            break
    return schema


def _meaning(document: Json, schema: Json) -> str:
    full = _resolved(document, schema)
    says = _inline(schema.get("description") or full.get("description") or "")
    if full.get("default") is not None:
        says += f" <small>Default: <code>{escape(_pretty(full['default']))}</code></small>"
    return says


def _members(document: Json, schema: Json, depth: int) -> str:
    """Return a row with the members of an object, or of the objects in a list, folded."""
    full = _resolved(document, schema)
    if depth >= DEEPEST or not _inner(document, full).get("properties"):
        return ""
    shape = _shape(document, full, depth + 1)
    return f'<tr class="inner"><td colspan="3"><details><summary>members</summary>{shape}</details></td></tr>'


def _prose(text: str) -> str:
    """Return plain text as paragraphs and lists; `backquoted` words become code, **starred** ones strong."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if lines and all(line.startswith(("* ", "- ")) for line in lines):
            parts.append("<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>")
        elif lines:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "".join(parts)


def _inline(text: str) -> str:
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", coded)
