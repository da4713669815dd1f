"""Runs face_recognition in an environment of its own; ``peer`` talks to it in lines of JSON.

Each line on standard input is one request, each line on standard output its answer:

    {"load": ["a.jpg", "b.jpg"]}    reads the files         {"pictures": 2}
    {"run": [0, 1]}                 analyses these of them  {"faces": 2}

Everything is done as the package's own examples do it: HOG detection at its default size, then one encoding a face.
"""

import io
import json
import sys
from pathlib import Path


def main() -> None:
    """Answer requests until there are no more."""
    import face_recognition

    pictures: list[bytes] = []
    _answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            pictures = [Path(name).read_bytes() for name in request["load"]]
            _answer({"pictures": len(pictures)})
            continue
        faces = 0
        for number in request["run"]:
            pixels = face_recognition.load_image_file(io.BytesIO(pictures[number]))
            locations = face_recognition.face_locations(pixels, model="hog")
            faces += len(face_recognition.face_encodings(pixels, locations))
        _answer({"faces": faces})


def _answer(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
