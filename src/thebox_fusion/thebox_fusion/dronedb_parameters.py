# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What an operator may set of the DroneDB node."""

from __future__ import annotations

from thebox_core.parameters import Parameter

__all__ = ["DRONEDB_PARAMETERS"]

DRONEDB_PARAMETERS = (
    Parameter(
        "path",
        "",
        "File of the database; empty: thebox/<namespace>/dronedb.sqlite in the user's data folder.",
        read_only=True,
    ),
    Parameter(
        "batch_period",
        0.5,
        "Longest time that history waits to be written; events are written at once.",
        minimum=0.05,
        maximum=10.0,
        unit="s",
    ),
    Parameter(
        "queue_size",
        50_000,
        "Rows of history held while the disk cannot take them; beyond it the oldest is dropped.",
        minimum=100,
        maximum=10_000_000,
        unit="rows",
    ),
    Parameter(
        "tracks.period",
        1.0,
        "Time between two stored states of a track; 0: every picture that is looked at.",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
    ),
    Parameter("tracks.tentative", False, "Store tracks that are not confirmed yet, too."),
    Parameter(
        "evidence.period",
        5.0,
        "Time between two looks at the ledger of a confirmed track; 0: evidence is not stored.",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
    ),
    Parameter(
        "detections.keep",
        "sampled",
        "Which detections are stored: all, one of each object in detections.period, or none.",
        choices=("whole", "sampled", "none"),
    ),
    Parameter(
        "detections.period",
        1.0,
        "Time between two stored detections of an object by the same sensor, where sampled.",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
    ),
    Parameter(
        "retention.days",
        30.0,
        "Age at which tracks, evidence and detections are deleted.",
        minimum=0.01,
        maximum=36_500.0,
        unit="days",
    ),
    Parameter(
        "retention.event_days",
        365.0,
        "Age at which events are deleted; an alert that waits for an acknowledgement is kept.",
        minimum=0.01,
        maximum=36_500.0,
        unit="days",
    ),
    Parameter(
        "retention.megabytes",
        10_000,
        "Size of the database beyond which the oldest history is deleted; 0: no limit.",
        minimum=0,
        maximum=100_000_000,
        unit="MB",
    ),
    Parameter(
        "query.deadline",
        5.0,
        "Longest time that one query may take.",
        minimum=0.1,
        maximum=600.0,
        unit="s",
    ),
    Parameter(
        "backup.folder",
        "",
        "Folder of backups that are given no name; empty: backup beside the database.",
    ),
    Parameter(
        "alerts.quiet_classes",
        ["bird", "boat", "vehicle", "person"],
        "Classes whose tracks are reported without an alert: bird, boat, vehicle, person, "
        "airplane, helicopter.",
        element_type=str,
    ),
    Parameter(
        "health.hold",
        3.0,
        "Time that a change of health must last before it becomes an event.",
        minimum=0.0,
        maximum=60.0,
        unit="s",
    ),
)
