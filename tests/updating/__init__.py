"""Tests of `personalab.updating`."""
