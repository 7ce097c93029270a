"""Records at the edge: schema, decoding, validation, the grid, adapters for other log formats.

``RecordDecoder`` (decode.py) turns message values and table rows into ``Decoded``; ``open_log`` and ``decode_file``
(files.py) do it for files. Rules that hold on every path:

- A record depends on its own bytes, position and append time, never on the batch around it.
- A time without an offset is UTC; times are floored to microseconds; numbers are seconds.
- An identifier that is empty, blank or over 512 bytes is refused. A description over 512 bytes is cut: an attacker
  chooses his user agent, and must not get out of sight by it. An empty optional text is a missing one.
- NaN of an optional number is a missing value. Whole numbers written ``3.0`` are taken; numbers in quotes are not.
  Fractions of a millisecond in ``latency_ms`` are dropped.
- Of a JSON key that occurs twice the last value counts.
- Fields outside the contract are dropped and counted (for columns: once for every row). Text never lands, nor
  does it in ``raw`` or ``detail`` of a rejected record (kept.py says how).
"""
