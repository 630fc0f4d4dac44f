"""``/docs``: the OpenAPI description as a page of tables, which loads nothing, unlike Swagger's."""

from collections.abc import Iterator, Mapping
from typing import Any

from cortex_pipelines.pages import heading, page, paragraph, records

_BOUNDS = {
    "minimum": "from {:,}",
    "exclusiveMinimum": "above {:,}",
    "maximum": "to {:,}",
    "exclusiveMaximum": "below {:,}",
    "maxLength": "up to {:,} characters",
}


def interface_page(description: Mapping[str, Any]) -> str:
    """Every route with the fields of its body, then the forms of which fields consist."""
    forms = description["components"]["schemas"]
    request_forms, parts = {"HTTPValidationError", "ValidationError"}, [paragraph("For programs: /openapi.json.")]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            parts.append(heading(f"{method.upper()} {path}"))
            if parameters := operation.get("parameters"):
                parts.append(records([_field(each["name"], each["schema"], each["required"]) for each in parameters]))
            bodies = list(_bodies(operation))
            request_forms.update(bodies)
            parts += [_table(forms[name]) for name in bodies]
    parts.append(heading("Forms of fields"))
    for name in sorted(forms.keys() - request_forms):
        parts += [heading(name, 3), _table(forms[name])]
    return page(description["info"]["title"], parts)


def _bodies(operation: Mapping[str, Any]) -> Iterator[str]:
    """Names of the forms of which a request's body is one."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for form in content["schema"].get("oneOf", [content["schema"]]):
            yield form["$ref"].rpartition("/")[2]


def _table(form: Mapping[str, Any]) -> str:
    needed = form.get("required", ())
    return records([_field(name, value, name in needed) for name, value in form.get("properties", {}).items()])


def _field(name: str, value: Mapping[str, Any], needed: bool) -> dict[str, str]:
    return {"field": name, "value": _type_text(value), "needed": "yes" if needed else ""}


def _type_text(value: Mapping[str, Any]) -> str:
    """What a field may be, such as ``integer from 0 to 5 or null``."""
    if choices := value.get("anyOf", value.get("oneOf")):
        return " or ".join(map(_type_text, choices))
    if "$ref" in value:
        return str(value["$ref"].rpartition("/")[2])
    if "enum" in value or "const" in value:
        return " or ".join(map(str, value.get("enum", [value.get("const")])))
    if "items" in value:
        most = f" of up to {value['maxItems']:,}" * ("maxItems" in value)
        return f"list{most}: {_type_text(value['items'])}"
    bounds = [(text, value[bound]) for bound, text in _BOUNDS.items() if bound in value]
    numbers = [text.format(int(number) if number == int(number) else number) for text, number in bounds]
    return " ".join([str(value.get("type", "anything")), *numbers])
