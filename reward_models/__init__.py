"""What earns reward: plain TRL reward functions that import nothing of divrl."""
