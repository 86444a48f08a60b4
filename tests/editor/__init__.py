"""Tests of `personalab.editor`."""
