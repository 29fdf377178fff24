"""Tests that take long, because size, many cases or whole programs are what they are about."""
