"""Many pictures into a collection: what ``recognizance index`` does.

``walk`` finds the files of a folder, ``journal`` knows which are done, ``names`` makes their external ids, ``pictures``
reads and judges them one by one, ``overlap`` keeps every core busy between reading and writing, and ``run`` puts it
together. ``jobs`` and ``share`` do the same for a bucket, together with other processes and other machines.
"""
