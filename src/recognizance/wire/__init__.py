"""The wire: AWS JSON 1.1 over HTTP, signed with Signature Version 4, as Rekognition's SDKs speak it.

A request goes through the modules in this order: ``server`` and ``protocol`` (the socket), ``app`` and ``body``
(HTTP), ``endpoint`` (the whole of one call: ``sigv4``, ``parse``, ``validate``, the operation, ``serialise``,
``answers``). What Rekognition's operations, shapes and errors are called is known to ``model`` alone.
"""
