"""Measurements that anyone can run; they use the public API only."""
