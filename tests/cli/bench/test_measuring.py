"""The measuring functions do the work that they say they measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recognizance.cli.bench import indexing
from recognizance.cli.bench.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from recognizance.cli._session import Session
    from recognizance.cli.bench.workload import Workload
    from recognizance.vision.analyser import FaceAnalyser


def test_the_pipeline_embeds_every_face(analyser: FaceAnalyser, workload: Workload) -> None:
    pipeline = Pipeline(analyser, workers=2)
    embeddings = pipeline(workload.portraits[0]).embeddings
    assert embeddings is not None
    assert embeddings.shape[1] == analyser.contract.dimensions
    assert pipeline.count_faces(workload.portraits[:3]) >= 3


def test_a_rate_and_stages_are_measured(analyser: FaceAnalyser, workload: Workload) -> None:
    pipeline = Pipeline(analyser, workers=2)
    assert pipeline.rate(workload.portraits[:2], 0.01) > 0
    one = pipeline.one_thread(workload.portraits[:2], 0.01)
    assert 0 < one.stages.decode < one.latency.p50
    assert one.latency.p50 <= one.latency.p90 <= one.latency.p99


def test_indexing_a_picture_again_stores_its_faces_again(session: Session, workload: Workload) -> None:
    """Faces that are there already would not be written, and that is not what is to be measured."""
    milliseconds, stored = indexing.index_ms(session, workload.portraits[0], 0)
    assert milliseconds > 0
    assert stored >= 1
    assert session.call("DescribeCollection", CollectionId="one-picture")["FaceCount"] == 3 * stored


def test_bulk_indexing_stores_the_files_faces_in_a_new_collection_each_time(
    session: Session, workload: Workload, tmp_path: Path
) -> None:
    files = indexing.write_pictures(tmp_path / "files", workload.portraits[:3])
    assert [path.read_bytes() for path in files] == list(workload.portraits[:3])
    rate = indexing.bulk_rate(session, tmp_path / "files", 2, 0)
    assert rate.rounds == 3
    assert 0 < rate.slowest <= rate.per_second <= rate.fastest
    counts = {session.call("DescribeCollection", CollectionId=f"bulk-{turn}")["FaceCount"] for turn in range(3)}
    assert len(counts) == 1
    assert counts.pop() >= 3


def test_a_collection_is_filled_with_so_many_different_faces(session: Session) -> None:
    indexing.fill_collection(session, "made-up", 1234)
    assert session.call("DescribeCollection", CollectionId="made-up")["FaceCount"] == 1234
    face = session.call("ListFaces", CollectionId="made-up", MaxResults=1)["Faces"][0]["FaceId"]
    found = session.call("SearchFaces", CollectionId="made-up", FaceId=face, FaceMatchThreshold=80.0)
    assert found["FaceMatches"] == []
