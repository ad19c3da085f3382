# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 description of the HTTP addresses. No ROS."""

from __future__ import annotations

from typing import Any

__all__ = ["describe"]


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _map(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_TEXT: dict[str, Any] = {"type": "string"}
_YES: dict[str, Any] = {"type": "boolean"}
_NUMBER: dict[str, Any] = {"type": "number"}
_MAYBE: dict[str, Any] = {"type": ["number", "null"]}
_STATUS: dict[str, Any] = {
    "type": "string",
    "enum": ["available", "degraded", "silent", "failing", "inactive", "missing"],
    "description": "available; degraded: it warns; silent: it works, but nothing comes; failing; "
    "inactive: not at active in its life cycle; missing: not in the graph",
}

SCHEMAS: dict[str, Any] = {
    "Health": _object(
        healthy=_YES,
        timestamp={"type": "string", "format": "date-time"},
        duration_ms=_NUMBER,
        checks=_object(
            database={"oneOf": [_YES, {"const": "disabled"}]},
            plugins_loaded=_YES,
            event_manager=_YES,
            plugins=_map(_STATUS),
        ),
    ),
    "Plugins": _object(healthy=_YES, plugins=_map(_STATUS)),
    "Plugin": _object(
        name=_TEXT,
        status=_STATUS,
        lifecycle=_TEXT,
        message=_TEXT,
        subjects=_map(
            _object(
                level={"type": "string", "enum": ["ok", "warning", "error", "stale"]},
                message=_TEXT,
                values=_map(_TEXT),
            )
        ),
    ),
    "UnknownPlugin": _object(error=_TEXT, known=_list(_TEXT)),
    "Database": _object(
        healthy=_YES,
        enabled=_YES,
        status=_TEXT,
        message=_TEXT,
        bytes={"type": ["integer", "null"]},
    ),
    "EventManager": _object(
        healthy=_YES,
        nodes=_object(
            expected=_list(_TEXT), seen=_list(_TEXT), missing=_list(_TEXT), unwell=_list(_TEXT)
        ),
        statuses=_map(_STATUS),
        topics=_map(_object(rate=_MAYBE, age=_MAYBE)),
        flowing=_YES,
    ),
    "Session": _object(
        user=_TEXT,
        role={"type": "string", "enum": ["operator", "viewer"]},
        login_required=_YES,
    ),
    "Config": _object(namespace=_TEXT, bridge=_TEXT, version=_TEXT, settings_writable=_YES),
    "Error": _object(error=_TEXT),
    "Saved": _object(message=_TEXT, path=_TEXT, backup=_TEXT),
}


def _answer(text: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": text, "content": content}


#: What any address may answer: the request is not meant for this server.
_ANYWHERE = {"421": _answer("Sent to a name that this server does not go by.", "Error")}
_GUARDED = {
    "401": _answer("Log in first, where health_needs_login asks for it.", "Error"),
    **_ANYWHERE,
}


def _checked(summary: str, schema: str, **more: Any) -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "responses": {
                "200": _answer("It is well.", schema),
                "503": _answer("It is not well; the body says what.", schema),
                **_GUARDED,
                **more.pop("responses", {}),
            },
            **more,
        }
    }


def _get(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {**responses, **_ANYWHERE}}}


def _post(summary: str, body: dict[str, Any] | None, responses: dict[str, Any]) -> dict[str, Any]:
    """A POST; with a body, what is wrong with one."""
    post: dict[str, Any] = {"summary": summary}
    refused = {"403": _answer("From another page, or not in this role.", "Error"), **_ANYWHERE}
    if body is not None:
        content = {"application/json": {"schema": body}}
        post["requestBody"] = {"required": True, "content": content}
        refused |= {
            "400": _answer("No JSON object of that form.", "Error"),
            "408": _answer("The body did not come in time.", "Error"),
            "413": _answer("The body is too large.", "Error"),
            "415": _answer("The body is not application/json.", "Error"),
        }
    return {"post": {**post, "responses": {**refused, **responses}}}


def describe(version: str) -> dict[str, Any]:
    """The description, as /openapi.json answers it."""
    name = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TheBox",
            "version": version,
            "description": "Health, metrics and sessions of one box. Health comes from the "
            "diagnostics that every node publishes once a second.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/health": _checked("The whole box.", "Health"),
            "/health/plugins": _checked("Every plug-in (sensor).", "Plugins"),
            "/health/plugins/{name}": _checked(
                "One plug-in, with all that it reports.",
                "Plugin",
                parameters=[name],
                responses={"404": _answer("There is none of that name.", "UnknownPlugin")},
            ),
            "/health/database": _checked("The database.", "Database"),
            "/health/event_manager": _checked(
                "The graph: nodes expected and seen, topics flowing.", "EventManager"
            ),
            "/metrics": _get(
                "Everything that is counted, for Prometheus.",
                {
                    "200": {
                        "description": "Text format, version 0.0.4.",
                        "content": {"text/plain": {"schema": _TEXT}},
                    },
                    **_GUARDED,
                },
            ),
            "/snapshots/{name}": {
                **_get(
                    "The picture that a track's visual verification names.",
                    {
                        "200": {
                            "description": "JPEG.",
                            "content": {"image/jpeg": {"schema": {"type": "string"}}},
                        },
                        "401": _answer("Log in first.", "Error"),
                        "404": _answer("There is none of that name.", "Error"),
                    },
                ),
                "parameters": [name],
            },
            "/openapi.json": _get(
                "This description.",
                {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            ),
            "/api/session": _get(
                "Who is logged in.",
                {
                    "200": _answer("The session.", "Session"),
                    "401": _answer("Nobody: log in.", "Error"),
                },
            ),
            "/api/config": _get(
                "What the panel needs to know of the box.",
                {
                    "200": _answer("The configuration.", "Config"),
                    "401": _answer("Log in first.", "Error"),
                },
            ),
            "/api/login": _post(
                "Log in; the answer sets the session's cookie.",
                _object(user=_TEXT, password=_TEXT),
                {
                    "200": _answer("Logged in.", "Session"),
                    "401": _answer("Wrong user or password.", "Error"),
                    "429": _answer("Too many failures: wait.", "Error"),
                },
            ),
            "/api/logout": _post(
                "Log out.",
                None,
                {"204": {"description": "Logged out."}},
            ),
            "/api/settings/save": _post(
                "Save a node's present parameters in the site's parameter file.",
                _object(node={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
                {
                    "200": _answer("Saved.", "Saved"),
                    "401": _answer("Log in first.", "Error"),
                    "404": _answer("No such node.", "Error"),
                    "409": _answer("There is no file to save to.", "Error"),
                    "502": _answer("The node does not answer.", "Error"),
                },
            ),
        },
        "components": {"schemas": SCHEMAS},
    }
