"""The platform's protocols as pure functions: request and facts in, answer out; no sockets, no clock, no files."""
