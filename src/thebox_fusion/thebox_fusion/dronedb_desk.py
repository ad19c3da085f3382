# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The services of the DroneDB, answered beside the node that takes the messages."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from thebox_core.messages import from_uuid
from thebox_fusion.dronedb.copies import back_up
from thebox_fusion.dronedb.errors import BadQueryError, DamagedError, StoreError
from thebox_fusion.dronedb.reader import Reader
from thebox_fusion.dronedb.store import Store
from thebox_fusion.dronedb_messages import (
    nanoseconds,
    to_event_message,
    to_stamp,
    to_zone_message,
    to_zone_row,
)
from thebox_interfaces.msg import Detection, Evidence, Track
from thebox_interfaces.srv import (
    AcknowledgeEvents,
    BackUpDatabase,
    GetStatistics,
    GetTrackEvidence,
    QueryDetections,
    QueryEvents,
    QueryTracks,
    SetZones,
)

if TYPE_CHECKING:
    from thebox_fusion.dronedb_node import DroneDB

__all__ = ["PATIENCE", "Desk"]

PATIENCE = 3.0  # seconds that a service waits for the disk
_ZONES_MAX = 200


class Desk:
    """Answers the services of a DroneDB, by a node and threads of its own."""

    def __init__(self, owner: DroneDB) -> None:
        self._owner = owner
        self._node = Node(
            f"{owner.get_name()}_desk",
            context=owner.context,
            namespace=owner.get_namespace(),
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        name = owner.get_fully_qualified_name()
        # An acknowledgement waits neither for a query nor for a backup.
        changes, queries, copies = (MutuallyExclusiveCallbackGroup() for _ in range(3))
        for kind, service, answer, group in (
            (AcknowledgeEvents, "acknowledge_events", self._acknowledge, changes),
            (SetZones, "set_zones", self._set_zones, changes),
            (QueryEvents, "query_events", self._query_events, queries),
            (QueryTracks, "query_tracks", self._query_tracks, queries),
            (QueryDetections, "query_detections", self._query_detections, queries),
            (GetTrackEvidence, "get_track_evidence", self._track_evidence, queries),
            (GetStatistics, "get_statistics", self._statistics, queries),
            (BackUpDatabase, "back_up", self._back_up, copies),
        ):
            self._node.create_service(
                kind, f"{name}/{service}", self._answered(answer), callback_group=group
            )
        self._executor = MultiThreadedExecutor(num_threads=3, context=owner.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="dronedb-desk", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        """End the services."""
        self._executor.shutdown(timeout_sec=PATIENCE)
        self._thread.join(PATIENCE)
        self._node.destroy_node()

    def _answered(self, answer: Callable[[Any, Any], None]) -> Callable[[Any, Any], Any]:
        """Turn what goes wrong into an answer: a caller is never left without one."""

        def service(request: Any, response: Any) -> Any:
            try:
                answer(request, response)
                response.success = True
            except (BadQueryError, StoreError) as error:
                response.success, response.message = False, str(error)
                if isinstance(error, DamagedError):
                    self._owner.writer.suspect()
            except FutureTimeout:
                response.success = False
                response.message = "the disk took too long, it may still be done: look, then retry"
            except Exception as error:
                self._owner.get_logger().error(f"{answer.__name__}: {error!r}")
                response.success = False
                response.message = f"fault in dronedb: {error!r}; please report it"
            return response

        return service

    def _durably(self, work: Callable[[Store], Any]) -> Any:
        return self._owner.writer.call(work).result(PATIENCE)

    def _settle(self) -> None:
        # What was published before the question is part of the answer; while the database cannot
        # be written, what is on the disk can be read all the same.
        with contextlib.suppress(StoreError, FutureTimeout):
            self._durably(lambda store: None)

    def _reader(self) -> Reader:
        self._settle()
        return Reader(self._owner.database_path(), self._owner.values["query.deadline"])

    # Changes ----------------------------------------------------------------------------------

    def _acknowledge(
        self, request: AcknowledgeEvents.Request, response: AcknowledgeEvents.Response
    ) -> None:
        by = request.acknowledged_by.strip() or "operator"
        at = int(self._owner.get_clock().now().nanoseconds)
        ids = list(request.event_ids)
        if not ids:
            raise BadQueryError("no event was named")
        done = self._durably(lambda store: store.acknowledge(ids, by, at))
        response.acknowledged = [row.id for row in done]
        for row in done:
            self._owner.publish_event(row)

    def _set_zones(self, request: SetZones.Request, response: SetZones.Response) -> None:
        if len(request.zones) > _ZONES_MAX:
            raise BadQueryError(f"at most {_ZONES_MAX} zones, these are {len(request.zones)}")
        zones = [to_zone_row(zone) for zone in request.zones]
        if len({zone.id for zone in zones}) != len(zones):
            raise BadQueryError("two zones have the same identity")
        self._durably(lambda store: store.set_zones(zones))
        self._owner.use_zones(zones)
        response.zones = [to_zone_message(zone) for zone in zones]

    # Questions --------------------------------------------------------------------------------

    def _query_events(self, request: QueryEvents.Request, response: QueryEvents.Response) -> None:
        with self._reader() as reader:
            page = reader.events(
                nanoseconds(request.start),
                nanoseconds(request.end),
                kinds=list(request.kinds),
                severity_min=request.severity_min,
                unacknowledged_only=request.unacknowledged_only,
                page_size=request.page_size,
                cursor=request.cursor,
            )
        response.events = [to_event_message(row) for row in page.rows]
        response.next_cursor = page.cursor

    def _query_tracks(self, request: QueryTracks.Request, response: QueryTracks.Response) -> None:
        with self._reader() as reader:
            page = reader.tracks(
                nanoseconds(request.start),
                nanoseconds(request.end),
                area=tuple((float(p.x), float(p.y)) for p in request.area.points),
                object_classes=[int(value) for value in request.object_classes],
                identity=request.identity.strip(),
                confidence_min=request.confidence_min,
                page_size=request.page_size,
                cursor=request.cursor,
            )
        response.tracks = self._unpacked(page.rows, Track, response)
        response.next_cursor = page.cursor

    def _query_detections(
        self, request: QueryDetections.Request, response: QueryDetections.Response
    ) -> None:
        with self._reader() as reader:
            page = reader.detections(
                nanoseconds(request.start),
                nanoseconds(request.end),
                sensors=list(request.sensors),
                sensor_track_id=request.sensor_track_id,
                page_size=request.page_size,
                cursor=request.cursor,
            )
        response.detections = self._unpacked(page.rows, Detection, response)
        response.next_cursor = page.cursor

    def _track_evidence(
        self, request: GetTrackEvidence.Request, response: GetTrackEvidence.Response
    ) -> None:
        with self._reader() as reader:
            rows = reader.evidence(from_uuid(request.track_id), request.limit)
        response.entries = self._unpacked(rows, Evidence, response)

    @staticmethod
    def _unpacked(rows: list[bytes], kind: Any, response: Any) -> list[Any]:
        messages = []
        for row in rows:
            try:
                messages.append(deserialize_message(row, kind))
            except Exception:  # noqa: PERF203 - one bad row must not cost the page
                response.message = "some rows were written by a release with other messages"
        return messages

    def _statistics(self, request: GetStatistics.Request, response: GetStatistics.Response) -> None:
        with self._reader() as reader:
            told = reader.statistics(nanoseconds(request.start), nanoseconds(request.end))
        response.detections = told.detections
        response.tracks = told.tracks
        response.confirmed_tracks = told.confirmed_tracks
        response.events = told.events
        response.unacknowledged_alerts = told.unacknowledged_alerts
        response.database_bytes = told.database_bytes
        response.oldest = to_stamp(told.oldest)
        response.by_sensor = [
            KeyValue(key=name, value=str(count)) for name, count in told.by_sensor.items()
        ]

    def _back_up(self, request: BackUpDatabase.Request, response: BackUpDatabase.Response) -> None:
        owner = self._owner
        path = owner.database_path()
        if request.path:
            target = Path(request.path).expanduser()
            if not target.is_absolute():
                raise BadQueryError(f"'{request.path}' is no absolute path")
        else:
            folder = owner.values["backup.folder"]
            base = Path(folder).expanduser() if folder else path.parent / "backup"
            target = base / time.strftime("dronedb-%Y%m%dT%H%M%SZ.sqlite", time.gmtime())
        self._settle()
        response.bytes = back_up(path, target)
        response.path = str(target)
