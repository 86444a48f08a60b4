"""Tests of `personalab.reports`."""
