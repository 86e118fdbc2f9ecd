"""Raw files behind URLs: the same index and records as from a folder, and what a bad network does."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from archives import Build, in_parts, official_files, refused, store, tar, unpack
from others import WNIDS, picture, shards, tables
from tiny import hashes

from alexnet.core.errors import UserError
from alexnet.core.processes import local_pool
from alexnet.ingest import stored
from alexnet.ingest.raw_files import UnreachableError, identity, root_of


def class_tars(root: Path) -> None:
    members = {
        wnid: tar([(f"{wnid}_{n}.JPEG", picture(label, n)) for n in range(4)])
        for label, wnid in enumerate(WNIDS)
    }
    unpack(root, {f"{wnid}.tar": content for wnid, content in members.items()})


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "ilsvrc-2012": official_files,
    "ilsvrc-2012 in parts": in_parts,
    "parquet": tables,
    "class-tars": class_tars,
    "webdataset": shards,
    "webdataset, compressed": partial(shards, packed=True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_url_gives_the_pictures_of_the_folder(tmp_path: Path, build: Build, layout: str) -> None:
    here = tmp_path / "raw"
    LAYOUTS[layout](here)
    url = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").put(str(here), f"/{tmp_path.name}", recursive=True)
    there = root_of(url)
    expected, found = build(here), build(there)
    assert found.layout == expected.layout == layout.partition(" ")[0].rstrip(",")
    assert found.pictures.equals(expected.pictures)
    assert found.classes.equals(expected.classes)
    for row in found.pictures.itertuples():
        assert stored.read_bytes(there, row) == stored.read_bytes(here, row)


def test_records_of_a_url_are_those_of_the_folder(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "raw"
    official_files(here)
    made = {}
    for name, data_root, pool in (("folder", str(here), None), ("url", f"file://{here}", local_pool(2))):
        index = build(root_of(data_root))
        store(data_root, index, tmp_path / name, tmp_path / "s", pool)
        made[name] = hashes(tmp_path / name)
    assert made["url"] == made["folder"]
    assert "read through once over the network" in capsys.readouterr().out


def test_a_remote_file_that_changed_is_listed_again(tmp_path: Path, build: Build) -> None:
    class_tars(tmp_path / "raw")
    memory, root = fsspec.filesystem("memory"), root_of(f"memory://{tmp_path.name}")
    memory.put(str(tmp_path / "raw"), f"/{tmp_path.name}", recursive=True)
    before = build(root).pictures
    changed = tar([(f"{WNIDS[0]}_9.JPEG", picture(0, n)) for n in (1,)])
    memory.pipe(f"/{tmp_path.name}/{WNIDS[0]}.tar", changed)
    assert len(build(root).pictures) == len(before) - 3


def test_a_file_of_the_same_size_behind_http_has_another_identity(tmp_path: Path, server: "Server") -> None:
    name = "ILSVRC2012_img_val.tar"
    path = root_of(f"http://127.0.0.1:{server.server_port}") / name
    before = identity(path)
    assert identity(path) == before
    os.utime(tmp_path / "raw" / name, (1, 1))
    assert identity(path)[0] == before[0]
    assert identity(path) != before


# --- what goes wrong ------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves a folder with byte ranges; `failures` of the next requests for pictures are answered by 503."""

    failures = 0


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if asked is None or not path.is_file():
            super().do_GET()
            return
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
            return
        content = path.read_bytes()
        first, last = (int(place) for place in asked.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    official_files(tmp_path / "raw")
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "raw"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_network_that_recovers_loses_nothing(
    tmp_path: Path, build: Build, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PAUSES", (0.0, 0.0, 0.0))
    root = root_of(f"http://127.0.0.1:{server.server_port}")
    index = build(root, layout="ilsvrc-2012")
    rows = list(index.pictures.itertuples())
    server.failures = 2
    stored._kept_open.cache_clear()
    for row in rows:
        assert stored.read_bytes(root, row) == stored.read_bytes(tmp_path / "raw", row)
    assert server.failures == 0
    server.failures = 100
    stored._kept_open.cache_clear()
    with pytest.raises(
        UnreachableError, match=r"ILSVRC2012_img_.*: cannot be reached: .*run again"
    ) as caught:
        stored.read_bytes(root, rows[0])
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_behind_a_url(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"cannot be reached: .*Connect"):
        root_of("http://127.0.0.1:9/raw")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"data_root: found s3://bucket/x: Install s3fs"):
        root_of("s3://bucket/x")
    refused(build, root_of(f"memory://{tmp_path.name}-none"), "no such folder")
    unpack(tmp_path / "raw", {f"train/{wnid}/1.png": picture(0) for wnid in WNIDS})
    refused(build, root_of(f"file://{tmp_path}/raw"), "no known layout")
    refused(build, root_of(f"file://{tmp_path}/raw"), "read one by one", "tars", layout="folders")
    shutil.rmtree(tmp_path / "raw")
    tables(tmp_path / "raw")
    cut = tmp_path / "raw/data/validation-00000-of-00001.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    refused(build, root_of(f"file://{tmp_path}/raw"), ".parquet: cannot be read", "Download it again")


def test_a_file_that_the_server_fails_to_tell_of_is_not_taken_for_absent(
    tmp_path: Path, build: Build, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "raw"
    shutil.rmtree(here)
    tables(here, about=None)
    (here / "classes.txt").write_text("\n".join(reversed(WNIDS)))
    root, send_head, down = root_of(f"http://127.0.0.1:{server.server_port}"), Handler.send_head, True

    def failing(self: Handler) -> Any:
        if down and self.path == "/classes.txt":
            self.send_error(503)
            return None
        return send_head(self)

    monkeypatch.setattr(Handler, "send_head", failing)
    refused(build, root, "cannot be reached", "503", layout="parquet")
    down = False
    assert build(root, layout="parquet").classes["wnid"].tolist() == sorted(WNIDS)


def test_classes_have_the_same_names_over_http(tmp_path: Path, build: Build, server: Server) -> None:
    here = tmp_path / "raw"
    shutil.rmtree(here)
    content = tar([("1.png", picture(0)), ("2.png", picture(1))])
    unpack(here, {f"{name}.tar": content for name in ("hot dog", "é", "50%")})
    found = build(root_of(f"http://127.0.0.1:{server.server_port}"), layout="class-tars")
    assert found.classes.equals(build(here).classes)
    assert found.pictures["name"].tolist() == build(here).pictures["name"].tolist()
