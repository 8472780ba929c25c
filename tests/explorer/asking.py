"""Requests of tests to a server of their own; the client's 5 s are less than a picture takes on a machine that is busy."""

from __future__ import annotations

from functools import partial

import httpx2 as httpx

SECONDS = 250.0
get = partial(httpx.get, timeout=SECONDS)
post = partial(httpx.post, timeout=SECONDS)
