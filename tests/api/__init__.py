"""Tests of the REST framework endpoints."""
