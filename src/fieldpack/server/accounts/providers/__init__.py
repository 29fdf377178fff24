"""Signing in at an identity provider (OpenID Connect), and which researcher an identity there is."""
