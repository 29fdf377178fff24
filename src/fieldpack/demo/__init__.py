"""The demonstration and its people. It starts the server as a program and talks to it as anyone would."""
