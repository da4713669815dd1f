"""A folder of pictures into a collection: what ``recognizance index`` does.

``walk`` finds the files, ``journal`` knows which are done, ``names`` makes their external ids, and ``run`` keeps every
core busy between them and the database.
"""
