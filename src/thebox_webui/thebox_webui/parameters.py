# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be set of the panel's server and of the bridge. No ROS."""

from __future__ import annotations

from thebox_core.parameters import Parameter

__all__ = ["BRIDGE", "FOXGLOVE", "PANEL"]

PANEL = (
    Parameter(
        "address",
        "127.0.0.1",
        "Address to listen on; one beyond this machine needs a password set first.",
        read_only=True,
    ),
    Parameter(
        "port",
        8080,
        "TCP port of the panel; 0 takes a free one.",
        minimum=0,
        maximum=65535,
        read_only=True,
    ),
    Parameter(
        "bridge",
        "ws://127.0.0.1:9090/",
        "Address of the rosbridge server behind the panel.",
        read_only=True,
    ),
    Parameter(
        "accounts_file",
        "~/.config/thebox/accounts.json",
        "File of the users and their hashed passwords; the command passwd writes it.",
        read_only=True,
    ),
    Parameter("certfile", "", "TLS certificate, a PEM file; with keyfile, https.", read_only=True),
    Parameter("keyfile", "", "TLS key, a PEM file.", read_only=True),
    Parameter(
        "session_hours",
        12.0,
        "How long a login holds.",
        minimum=0.01,
        maximum=720.0,
        unit="h",
        read_only=True,
    ),
    Parameter(
        "allowed_hosts",
        [],
        "Names under which browsers may reach the panel, beside its address and this machine's.",
        element_type=str,
        read_only=True,
    ),
    Parameter(
        "health_needs_login",
        False,
        "Ask for a login for the health addresses and the metrics too.",
        read_only=True,
    ),
    Parameter(
        "max_consoles",
        32,
        "Open panels at a time; more are refused.",
        minimum=1,
        maximum=1000,
        unit="panels",
        read_only=True,
    ),
    Parameter(
        "max_connections",
        256,
        "Open connections at a time, half of them from one address; more are refused.",
        minimum=8,
        maximum=10_000,
        unit="connections",
        read_only=True,
    ),
    Parameter(
        "nodes",
        [],
        "Nodes that a healthy graph shows; the bring-up fills it in. Empty: those that report.",
        element_type=str,
        read_only=True,
    ),
    Parameter(
        "plugins",
        [],
        "Those of the nodes that are plug-ins (sensors); the bring-up fills it in.",
        element_type=str,
        read_only=True,
    ),
    Parameter(
        "settings_file",
        "",
        "The site's parameter file, into which the panel saves settings; empty: none.",
        read_only=True,
    ),
    Parameter(
        "static_folder",
        "",
        "Folder of the built panel; empty: the one that was installed.",
        read_only=True,
    ),
)

#: The bridge's, by rosbridge_server's own names and types; safe where upstream's default is not.
BRIDGE = (
    Parameter(
        "address",
        "127.0.0.1",
        "Address to listen on. The bridge asks nobody who he is: keep it on this machine.",
        read_only=True,
    ),
    Parameter("port", 9090, "TCP port of the bridge.", minimum=0, maximum=65535, read_only=True),
    Parameter(
        "retry_startup_delay",
        2.0,
        "Seconds until a taken port is tried again.",
        minimum=0.1,
        maximum=60.0,
        unit="s",
        read_only=True,
    ),
    Parameter(
        "max_message_size",
        10_000_000,
        "Largest frame taken, and largest fragment sent.",
        minimum=1000,
        maximum=100_000_000,
        unit="bytes",
        read_only=True,
    ),
    Parameter(
        "fragment_timeout",
        600,
        "How long the fragments of a message are waited for.",
        minimum=1,
        maximum=3600,
        unit="s",
        read_only=True,
    ),
    Parameter(
        "unregister_timeout",
        10.0,
        "How long a publisher outlives its last client.",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
        read_only=True,
    ),
    Parameter(
        "default_call_service_timeout",
        5.0,
        "How long a service may take to answer; 0: for ever.",
        minimum=0.0,
        maximum=600.0,
        unit="s",
        read_only=True,
    ),
    Parameter(
        "call_services_in_new_thread",
        True,
        "A service that does not answer must not hold up the others.",
        read_only=True,
    ),
    Parameter(
        "send_action_goals_in_new_thread",
        True,
        "A goal under way must not hold up the client's other operations.",
        read_only=True,
    ),
    Parameter(
        "topics_glob",
        "",
        "Topics that the bridge's clients may touch, ['/a/*', '/b']; empty: all. The panel's own "
        "allow-list holds beside it.",
        read_only=True,
    ),
    Parameter(
        "services_glob",
        "",
        "Services that the bridge's clients may call; empty: all.",
        read_only=True,
    ),
    Parameter(
        "actions_glob",
        "",
        "Actions that the bridge's clients may use; empty: all.",
        read_only=True,
    ),
)

FOXGLOVE = (
    Parameter(
        "address",
        "127.0.0.1",
        "Address to listen on. Foxglove asks nobody who he is: anybody who reaches it looks on.",
        read_only=True,
    ),
    Parameter(
        "port",
        8765,
        "TCP port for Foxglove; 0 takes a free one.",
        minimum=0,
        maximum=65535,
        read_only=True,
    ),
    Parameter(
        "backlog",
        256,
        "Messages that may wait for one viewer; the oldest is dropped.",
        minimum=1,
        maximum=10_000,
        unit="messages",
        read_only=True,
    ),
)
