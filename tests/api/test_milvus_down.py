"""What clients see of a Milvus that is down: they store, and are asked to search again later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.conftest import Running


def test_faces_are_stored_and_searches_are_asked_to_come_again(
    serve: Callable[[Settings], Running], tmp_path: Path, photos: dict[str, bytes]
) -> None:
    settings = Settings(data=tmp_path, contract="core", milvus_url="http://127.0.0.1:1", milvus_timeout_seconds=0.5)
    api = serve(settings).api()
    api.call("CreateCollection", CollectionId="c")
    image = {"Bytes": photos["obama"]}
    (record,) = api.call("IndexFaces", CollectionId="c", Image=image)["FaceRecords"]
    with pytest.raises(ClientError) as caught:
        api.call("SearchFacesByImage", CollectionId="c", Image=image)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert caught.value.response["Error"] == {
        "Code": "ThrottlingException",
        "Message": "The service is temporarily unable to process the request. Try your call again.",
    }
    face_id = record["Face"]["FaceId"]
    assert [face["FaceId"] for face in api.call("ListFaces", CollectionId="c")["Faces"]] == [face_id]
    assert api.call("DeleteFaces", CollectionId="c", FaceIds=[face_id])["DeletedFaces"] == [face_id]
    api.refused("ThrottlingException", "SearchFacesByImage", CollectionId="c", Image=image)
