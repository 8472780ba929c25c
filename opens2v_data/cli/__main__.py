"""`python -m opens2v_data.cli`, the same as `opens2v`."""

from opens2v_data.cli import main

raise SystemExit(main())
