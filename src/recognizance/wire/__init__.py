"""The wire: AWS JSON 1.1 over HTTP, signed with Signature Version 4, as Rekognition's SDKs speak it.

A request goes through the modules in this order: ``server``, ``protocol`` and ``connections`` (the socket), ``app`` and
``body`` (HTTP), ``turns`` (when it is worked on), ``endpoint`` (the whole of one call: ``sigv4``, ``limiter``,
``parse``, ``validate``, the operation, ``serialise``, ``answers``). What Rekognition's operations, shapes and errors
are called is known to ``model`` alone.
"""
