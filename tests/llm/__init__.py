"""Tests of `personalab.llm`."""
