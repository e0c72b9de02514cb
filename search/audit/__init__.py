"""The record of who looked: leaves, tree, proofs. Imports nothing else of search."""
