"""Starts the server; its options come on standard input."""

from localhub.server import main

main()
