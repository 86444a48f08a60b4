"""Tests of `personalab.sampling`."""
