"""What is new in a text, given its group; and what is paid for it."""
