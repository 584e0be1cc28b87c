"""Emulated devices: what is declared of them, and how ranks are paced to it."""
