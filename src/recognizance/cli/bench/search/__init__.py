"""``recognizance bench search``: how fast and how completely a collection of a given size is searched.

``gallery`` makes the faces a chunk at a time and ``truth`` finds what a search must find; ``worker`` is a process that
holds one index, ours or a ``peer``'s, and answers ``run``, which measures them in turns. ``report`` is what comes out.
"""
