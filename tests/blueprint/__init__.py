"""Tests of `personalab.blueprint`."""
