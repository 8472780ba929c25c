"""A Hub on this machine: the endpoints that huggingface_hub, datasets and our own stores use, with faults and counts.

```
 client ──▶ http://127.0.0.1:P1   "Hub": /api/…, /datasets/…/resolve/…, uploads, quotas, tokens
   │                │ 302, signed, expires
   └──────▶ http://localhost:P2   "CDN": ranges of files by sendfile; host and port differ, so no token may come here
```

The server is a process of its own (`python -m localhub`), so that it shares neither the interpreter lock nor the memory with
what is measured; it ends when `LocalHub` is closed or its parent dies. Modules: `handle` (what tests hold), `server` (sockets
and the life of a request), `wire` (HTTP/1.1), `routes` (answers), `uploads`, `repos` (commits), `limits` (signatures and
quotas), `faults`, `counts`.
"""

from localhub.counts import Counts, RouteCounts
from localhub.faults import Faults
from localhub.handle import LocalHub

__all__ = ["Counts", "Faults", "LocalHub", "RouteCounts"]
