"""Pictures and sentences from run folders."""
