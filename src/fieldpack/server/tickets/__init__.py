"""Tickets: what proves who a visitor of a study is. Personal links that we sign, the hosted service's secured links."""
