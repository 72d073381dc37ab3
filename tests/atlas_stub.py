"""The part of Nomic Atlas' API that its own client asks for a map, on this machine.

It keeps what is uploaded, locks a data set for two looks after each change, lays points out in the
order of their arrival and names topics after the field `source`.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
from pyarrow import feather

TOKEN = "nk-of-a-test"


class Atlas:
    """The state of the service, and how it misbehaves."""

    def __init__(self) -> None:
        self.id, self.index, self.projection = (str(uuid.uuid4()) for _ in range(3))
        self.project: dict | None = None
        self.rows: list[dict] = []
        self.schema: str | None = None
        self.has_index = False
        self.locked_looks = 0
        self.n_parts = 0
        self.refuse_part = 0  # this part, once
        self.lose_rows = 0  # rows that the map does not give back
        self.asked: list[str] = []
        self.index_options: dict = {}

    def meta(self) -> dict:
        self.locked_looks -= 1
        projections = [{"id": self.projection}]
        index = {"id": self.index, "index_name": "map", "indexed_field": "text"}
        return {
            **(self.project or {}),
            "id": self.id,
            "organization_slug": "me",
            "total_datums_in_project": len(self.rows),
            "modality": "text",
            "insert_update_delete_lock": self.locked_looks > 0,
            "schema": self.schema,
            "project_fields": ["row", "text", "source", "task"],
            "atlas_indices": [{**index, "projections": projections}] if self.has_index else [],
        }

    def add(self, body: bytes) -> tuple[int, object]:
        self.n_parts += 1
        if self.n_parts == self.refuse_part:
            return 500, "the store is full"
        table = feather.read_table(io.BytesIO(body))
        schema = table.schema.remove_metadata()
        self.schema = base64.b64encode(schema.serialize().to_pybytes()).decode()
        self.rows += table.to_pylist()
        self.locked_looks = 2
        return 200, {}

    def table(self, name: str) -> pa.Table:
        kept = self.rows[::-1][: len(self.rows) - self.lose_rows]
        if name == "manifest.feather":
            return pa.table({"key": ["0/0/0"]})
        if name.endswith(".datum_id.feather"):
            return pa.table({"row": [r["row"] for r in kept]})
        if name.endswith(".topics.feather"):
            return pa.table({"_topic_depth_1": [f"about {r['source']}" for r in kept]})
        x = [float(r["row"][1:]) for r in kept]
        return pa.table({"x": x, "y": [0.0] * len(kept)})

    def tile_schema(self) -> bytes:
        fields = []
        for name, sidecar in (
            ("x", ""),
            ("y", ""),
            ("row", "datum_id"),
            ("_topic_depth_1", "topics"),
        ):
            kind = pa.float64() if name in "xy" else pa.string()
            fields.append(pa.field(name, kind, metadata={"sidecar_name": json.dumps(sidecar)}))
        return pa.schema(fields).serialize().to_pybytes()


class _Handler(BaseHTTPRequestHandler):
    atlas: Atlas

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, status: int, body: object) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _allowed(self) -> bool:
        self.atlas.asked.append(f"{self.command} {self.path}")
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return True
        self._send(401, {"detail": "no such token"})
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        atlas, path = self.atlas, self.path
        if path == "/v1/user":
            mine = {"slug": "me", "id": "o1", "organization_id": "o1", "access_role": "OWNER"}
            user = {"organizations": [mine], "default_organization": "o1", "sub": "me"}
            self._send(200, user)
        elif path == "/v1/organization/me":
            self._send(200, {"id": "o1"})
        elif path == f"/v1/project/{atlas.id}":
            self._send(200, atlas.meta())
        elif path.startswith("/v1/project/me/"):
            slug = path.rpartition("/")[2]
            known = atlas.project is not None and atlas.project["slug"] == slug
            self._send(200 if known else 404, {"id": atlas.id})
        elif path.startswith("/v1/project/index/job/"):
            self._send(200, {"index_id": atlas.index})
        elif path.endswith("/schema"):
            self._send(200, atlas.tile_schema())
        elif path.endswith(".feather"):
            stream = io.BytesIO()
            feather.write_feather(atlas.table(path.rpartition("/")[2]), stream)
            self._send(200, stream.getvalue())
        else:
            self._send(404, {"detail": path})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = self._chunks()
        if not self._allowed():
            return
        atlas = self.atlas
        if self.path == "/v1/project/create":
            given = json.loads(body)
            atlas.project = {
                "slug": given["project_name"],
                "unique_id_field": given["unique_id_field"],
                "is_public": given["is_public"],
            }
            self._send(201, {"project_id": atlas.id, "slug": given["project_name"]})
        elif self.path == "/v1/project/data/add/arrow":
            self._send(*atlas.add(body))
        elif self.path == "/v1/project/index/create":
            atlas.index_options, atlas.has_index, atlas.locked_looks = json.loads(body), True, 3
            self._send(200, {"job_id": "j1"})
        else:
            self._send(404, {"detail": self.path})

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found


@contextmanager
def serving(atlas: Atlas) -> Iterator[str]:
    """Serve the stub; yield its address."""
    handler = type("Handler", (_Handler,), {"atlas": atlas})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
