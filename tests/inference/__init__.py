"""Tests of `personalab.inference`."""
