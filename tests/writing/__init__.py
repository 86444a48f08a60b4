"""Tests of `personalab.writing`."""
